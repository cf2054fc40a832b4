// SPDX-License-Identifier: Apache-2.0

package slotimage

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/kairos-build/kairos-build/framework/ondisk/verity"
)

// bigLayer writes a tar of about size bytes with sizes like those of a Debian
// root, most of them small, and returns it as a layer.
func bigLayer(tb testing.TB, size int64, files int) Layer {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "layer.tar")
	f, err := os.Create(name)
	if err != nil {
		tb.Fatal(err)
	}
	buf := bufio.NewWriterSize(f, 1<<20)
	w := tar.NewWriter(buf)
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 4<<20)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	check := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	put := func(name string, body []byte) {
		check(w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body)), ModTime: time.Unix(epoch-int64(len(body)), 0)}))
		_, err := w.Write(body)
		check(err)
	}
	for _, r := range base() {
		check(w.WriteHeader(r.header()))
		_, err := io.WriteString(w, map[bool]string{true: r.body}[r.flag == tar.TypeReg])
		check(err)
	}
	left := size
	for i := range files {
		n := int64(rnd.IntN(8000))
		if i%10 == 0 { // a tenth of the files has nearly all of the bytes
			n = left / int64(files-i) * 10 * int64(rnd.IntN(200)) / 100
		}
		n = min(n, left, int64(len(noise)/2))
		at := rnd.IntN(len(noise) / 2)
		put(fmt.Sprintf("usr/lib/dir-%03d/some-longer-name-of-a-file-%d", i%700, i), noise[at:int64(at)+n])
		left -= n
	}
	check(errors.Join(w.Close(), buf.Flush(), f.Close()))
	return Layer{DiffID: "sha256:bench", Open: func() (io.ReadCloser, error) { return os.Open(name) }}
}

func BenchmarkWrite(b *testing.B) {
	layers := []Layer{bigLayer(b, 300<<20, 12000)}
	f := tempFile(b)
	var image *Image
	for b.Loop() {
		var err error
		if image, err = Write(b.Context(), f, layers, testLoader{}); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(image.Tree.DataSize)
	if err := verity.Verify(b.Context(), f, image.Tree); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkMemory reports the peak of the heap, sampled every few milliseconds,
// for 1 GiB in 40,000 files.
func BenchmarkMemory(b *testing.B) {
	layers := []Layer{bigLayer(b, 1<<30, 40000)}
	f := tempFile(b)
	runtime.GC()
	for b.Loop() {
		stop, peak := make(chan struct{}), make(chan uint64)
		go func() { peak <- samplePeak(stop) }()
		if _, err := Write(b.Context(), f, layers, testLoader{}); err != nil {
			b.Fatal(err)
		}
		close(stop)
		b.ReportMetric(float64(<-peak)/(1<<20), "peak-MiB")
	}
}

// samplePeak returns the most memory that the heap had from the operating system.
func samplePeak(stop <-chan struct{}) uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	var peak uint64
	for {
		metrics.Read(sample)
		peak = max(peak, sample[0].Value.Uint64()+sample[1].Value.Uint64())
		select {
		case <-stop:
			return peak
		case <-time.After(2 * time.Millisecond):
		}
	}
}
