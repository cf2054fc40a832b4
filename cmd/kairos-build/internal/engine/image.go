// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// Image says how the result of a graph becomes an OCI layout.
type Image struct {
	// Dir is the folder to write to; it is created, or exists and is empty.
	// After an error it may be incomplete: use a temporary folder, and rename it.
	Dir string
	// Config is the image's configuration: labels, command, architecture.
	// History and layers are filled by the engine. OS and Architecture are
	// required.
	Config ocispec.Image
	// Annotations of the manifest.
	Annotations map[string]string
	// Epoch replaces the time of the build wherever that would appear
	// (SOURCE_DATE_EPOCH). Required: without it no two builds are the same.
	Epoch time.Time
	// RewriteTimestamps writes each layer again with no file newer than Epoch.
	// That costs a decompression and a compression of the whole image at every
	// export, cached or not. Leave it off when the steps clamp what they touch.
	RewriteTimestamps bool
	// Compression of the layers, by BuildKit's name for it. Empty: zstd. Layers
	// with another compression (those of the base) are converted once, and cached.
	Compression string
}

// export describes the export to BuildKit. blobs is the folder of the engine's
// own blobs, or "".
func (i *Image) export(blobs string) (client.ExportEntry, error) {
	attrs, err := i.attrs()
	if err != nil {
		return client.ExportEntry{}, err
	}
	if err := checkEmpty(i.Dir); err != nil {
		return client.ExportEntry{}, err
	}
	store, err := local.NewStore(i.Dir)
	if err != nil {
		return client.ExportEntry{}, fmt.Errorf("creating OCI layout %s: %w", i.Dir, err)
	}
	return client.ExportEntry{
		Type:        client.ExporterOCI,
		Attrs:       attrs,
		OutputStore: &outputStore{Store: store, dir: i.Dir, blobs: blobs},
	}, nil
}

// attrs are the attributes of BuildKit's "oci" exporter. The exporter takes unknown
// attributes, such as the image's configuration, as metadata of the result.
func (i *Image) attrs() (map[string]string, error) {
	if i.Epoch.IsZero() || i.Config.OS == "" || i.Config.Architecture == "" {
		return nil, errors.New("BUG: an image needs an epoch, an OS and an architecture")
	}
	config := i.Config
	created := i.Epoch.UTC()
	if config.Created == nil {
		config.Created = &created
	}
	config.RootFS.Type = "layers"
	data, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encoding the image's configuration: %w", err)
	}
	attrs := map[string]string{
		exptypes.ExporterImageConfigKey:         string(data),
		"tar":                                   "false",
		string(exptypes.OptKeyOCITypes):         "true",
		string(exptypes.OptKeyLayerCompression): cmp.Or(i.Compression, "zstd"),
		string(exptypes.OptKeyForceCompression): "true",
		string(exptypes.OptKeySourceDateEpoch):  strconv.FormatInt(i.Epoch.Unix(), 10),
		string(exptypes.OptKeyRewriteTimestamp): strconv.FormatBool(i.RewriteTimestamps),
	}
	for key, value := range i.Annotations {
		attrs[exptypes.AnnotationManifestKey(nil, key)] = value
	}
	return attrs, nil
}

// finish makes the folder an OCI layout and returns the manifest's descriptor.
func (i *Image) finish(response map[string]string) (ocispec.Descriptor, error) {
	desc, err := exportedManifest(response)
	if err != nil {
		return desc, err
	}
	if desc, err = i.evenHistory(desc); err != nil {
		return desc, fmt.Errorf("writing OCI layout %s: %w", i.Dir, err)
	}
	desc.Platform = &ocispec.Platform{Architecture: i.Config.Architecture, OS: i.Config.OS, Variant: i.Config.Variant}
	if err := i.writeLayout(desc); err != nil {
		return desc, fmt.Errorf("writing OCI layout %s: %w", i.Dir, err)
	}
	return desc, nil
}

func exportedManifest(response map[string]string) (ocispec.Descriptor, error) {
	var desc ocispec.Descriptor
	data, err := base64.StdEncoding.DecodeString(response[exptypes.ExporterImageDescriptorKey])
	if err == nil {
		err = json.Unmarshal(data, &desc)
	}
	if err == nil {
		err = desc.Digest.Validate()
	}
	if err != nil {
		return desc, fmt.Errorf("the engine named no image that it wrote: %w", err)
	}
	desc.Annotations = nil // its only entry, the time of the build, is in the image
	return desc, nil
}

// writeLayout writes what makes a folder of blobs an OCI layout, see
// image-layout.md of the OCI image specification.
func (i *Image) writeLayout(desc ocispec.Descriptor) error {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{desc},
	}
	layout := ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}
	return errors.Join(
		os.RemoveAll(filepath.Join(i.Dir, "ingest")),
		writeJSON(filepath.Join(i.Dir, ocispec.ImageLayoutFile), layout),
		writeJSON(filepath.Join(i.Dir, ocispec.ImageIndexFile), index),
	)
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteCache(path, append(data, '\n'), 0o644)
}

// checkEmpty refuses a folder with files, which an export would mix with its own.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("folder %s for the image is not empty: it holds %s", dir, entries[0].Name())
	}
	return nil
}
