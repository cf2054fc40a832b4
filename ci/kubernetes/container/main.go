// SPDX-License-Identifier: Apache-2.0

// Container is the one file of the images for tests: as /pause it holds a pod's
// namespaces, as /server it answers over HTTP with the name of its host.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	if filepath.Base(os.Args[0]) == "server" {
		fmt.Fprintln(os.Stderr, serve())
		os.Exit(1)
	}
	pause()
}

// serve answers at port 8080.
func serve() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	answer := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "kairos: pod %s\n", name) }
	server := &http.Server{Addr: ":8080", Handler: http.HandlerFunc(answer), ReadHeaderTimeout: time.Minute}
	return server.ListenAndServe()
}

// pause waits for the end, and collects the processes that lost their parent.
func pause() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || errors.Is(err, syscall.ECHILD) {
				break
			}
		}
	}
}
