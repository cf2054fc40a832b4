// SPDX-License-Identifier: Apache-2.0

// Package engine runs the pipelines with Dagger.
package engine

import (
	"context"

	"dagger.io/dagger"

	"github.com/kairos-build/kairos-build/ci/dagger/pipeline"
)

// A client is a connection to an engine of Dagger.
type client struct{ *dagger.Client }

// New makes a client of a connection.
func New(c *dagger.Client) pipeline.Client { return client{c} }

func (c client) From(image string) pipeline.Container {
	return container{c.Client, c.Container().From(image)}
}

func (c client) Folder(path string, exclude ...string) pipeline.Folder {
	return folder{c.Host().Directory(path, dagger.HostDirectoryOpts{Exclude: exclude})}
}

func (c client) Secret(name, text string) pipeline.Secret { return c.SetSecret(name, text) }

// A container is a state of a container of Dagger.
type container struct {
	client *dagger.Client
	*dagger.Container
}

func (c container) next(d *dagger.Container) pipeline.Container { return container{c.client, d} }

func (c container) Run(args ...string) pipeline.Container { return c.next(c.WithExec(args)) }

func (c container) RunPrivileged(args ...string) pipeline.Container {
	return c.next(c.WithExec(args, dagger.ContainerWithExecOpts{InsecureRootCapabilities: true}))
}

func (c container) TryPrivileged(args ...string) pipeline.Container {
	return c.next(c.WithExec(args, dagger.ContainerWithExecOpts{InsecureRootCapabilities: true, Expect: dagger.ReturnTypeAny}))
}

func (c container) In(path string) pipeline.Container { return c.next(c.WithWorkdir(path)) }

func (c container) Put(path string, f pipeline.Folder) pipeline.Container {
	return c.next(c.WithDirectory(path, f.(folder).Directory))
}

func (c container) Write(path, text string) pipeline.Container {
	return c.next(c.WithNewFile(path, text))
}

func (c container) Keep(path, name string, exclusive bool) pipeline.Container {
	sharing := dagger.CacheSharingModeShared
	if exclusive {
		sharing = dagger.CacheSharingModeLocked
	}
	return c.next(c.WithMountedCache(path, c.client.CacheVolume(name), dagger.ContainerWithMountedCacheOpts{Sharing: sharing}))
}

func (c container) Hide(path string, secret pipeline.Secret) pipeline.Container {
	return c.next(c.WithMountedSecret(path, secret.(*dagger.Secret)))
}

func (c container) Folder(path string) pipeline.Folder { return folder{c.Directory(path)} }

func (c container) Status(ctx context.Context) (int, error) { return c.ExitCode(ctx) }

// A folder is a directory of Dagger.
type folder struct{ *dagger.Directory }

func (f folder) Export(ctx context.Context, to string) error {
	_, err := f.Directory.Export(ctx, to)
	return err
}
