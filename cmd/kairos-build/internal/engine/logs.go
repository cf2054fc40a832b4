// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/sirupsen/logrus"
)

// routeLogs sends the logs of BuildKit's and containerd's client code to log, at
// debug level: they would appear in the middle of the progress view.
func routeLogs(log *slog.Logger) {
	logrus.SetOutput(debugWriter{log})
	logrus.SetFormatter(&logrus.TextFormatter{DisableColors: true, DisableTimestamp: true})
	if _, done := stdlog.Writer().(http2Filter); !done { //nolint:forbidigo // the library has no other way
		stdlog.SetOutput(http2Filter{stdlog.Writer()}) //nolint:forbidigo // likewise
	}
}

// http2Filter drops what golang.org/x/net/http2 writes to the standard logger
// when a build fails before its session is up.
type http2Filter struct{ io.Writer }

func (f http2Filter) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("http2: server")) {
		return len(p), nil
	}
	return f.Writer.Write(p)
}

type debugWriter struct{ log *slog.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug("library: " + string(bytes.TrimSpace(p)))
	return len(p), nil
}

// Store opens dir, an OCI layout or an empty folder, as a store for
// Request.Stores.
func Store(dir string, log *slog.Logger) (content.Store, error) {
	routeLogs(log)
	store, err := local.NewStore(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the blobs in %s: %w", dir, err)
	}
	return store, nil
}
