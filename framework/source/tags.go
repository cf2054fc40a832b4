// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Bounds of a list of tags.
const (
	pageSize = 1000    // tags that a registry is asked for at once
	maxTags  = 100_000 // of one list
	maxPages = 10_000  // a registry may give fewer tags than it is asked for
)

// Tags returns the tags of the repository of an image in a registry, in the registry's
// order. ref is oci:REF or REF; its own tag or digest does not count, and may be left
// out. Mirrors are asked first; the first list that has a tag counts.
func Tags(ctx context.Context, ref string, o Options) ([]string, error) {
	o = o.withDefaults()
	parsed, err := repositoryOf(ref)
	if err != nil {
		return nil, err
	}
	r, err := newPuller(o)
	if err != nil {
		return nil, err
	}
	places, err := places(parsed, o.Mirrors)
	if err != nil {
		return nil, err
	}
	var all []error
	for i, place := range places {
		last := i == len(places)-1
		tags, err := r.tags(ctx, place.Context())
		if err == nil && (last || len(tags) > 0) {
			return tags, nil
		}
		all = append(all, err)
		if ctx.Err() != nil {
			break
		}
		if !last {
			o.Log.Warn("the mirror does not list images; asking the next", "mirror", place.Context().RegistryStr(), "error", err)
		}
	}
	return nil, errors.Join(all...)
}

// repositoryOf reads a reference to an image in a registry.
func repositoryOf(ref string) (name.Reference, error) {
	rest, ok := strings.CutPrefix(ref, "oci:")
	scheme, _, _ := strings.Cut(ref, ":")
	if !ok && (scheme == "dir" || scheme == "file" || scheme == "ocifile" || looksLikePath(ref)) {
		return nil, fmt.Errorf("%s: %w: only a registry has a list of images; want oci:REGISTRY/NAME", ref, ErrNotImage)
	}
	parsed, err := name.ParseReference(rest)
	if err != nil {
		return nil, fmt.Errorf("%q is no image reference: %w", ref, err)
	}
	return parsed, nil
}

// tags lists the tags of a repository in one registry.
func (p *puller) tags(ctx context.Context, repo name.Repository) ([]string, error) {
	store, err := p.repository(ctx, repo)
	if err != nil {
		return nil, p.explain(ctx, repo.Name(), repo, err)
	}
	tags, err := store.tags()
	if err != nil {
		return nil, p.explain(ctx, repo.Name(), repo, err)
	}
	return tags, nil
}

// tags reads all pages of the list of tags.
func (r *repository) tags() ([]string, error) {
	page := r.url("tags/list")
	page.RawQuery = url.Values{"n": {fmt.Sprint(pageSize)}}.Encode()
	var all []string
	for range maxPages {
		tags, next, err := r.page(page)
		if err != nil {
			return nil, err
		}
		all = append(all, tags...)
		if len(all) > maxTags {
			break
		}
		if next == nil {
			return all, nil
		}
		page = next
	}
	return nil, fmt.Errorf("%w: the list of tags has more than %d", ErrTooLarge, maxTags)
}

// page reads one page of the list and the address of the next; nil if it is the last.
func (r *repository) page(page *url.URL) (tags []string, next *url.URL, err error) {
	resp, err := r.send(http.MethodGet, page, "application/json")
	if err != nil {
		return nil, nil, err
	}
	data, err := readAll(resp.Body, "the list of tags")
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, nil, err
	}
	var list struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, nil, fmt.Errorf("the list of tags is not as it should be: %w", err)
	}
	next, err = nextPage(page, resp.Header.Get("Link"))
	return list.Tags, next, err
}

// nextPage reads a Link header, <URL>; rel="next", of RFC 8288. Credentials go with the
// request, so the next page must be of the same registry.
func nextPage(page *url.URL, header string) (*url.URL, error) {
	if header == "" {
		return nil, nil
	}
	text, rest, ok := strings.Cut(strings.TrimPrefix(header, "<"), ">")
	if !ok || !strings.Contains(rest, `rel="next"`) && !strings.Contains(rest, "rel=next") {
		return nil, nil
	}
	next, err := page.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the address of the next page of tags: %w", errNotOurs, err)
	}
	if next.Scheme != page.Scheme || next.Host != page.Host {
		return nil, fmt.Errorf("%w: the next page of tags is at another registry, %s", errNotOurs, next.Host)
	}
	return next, nil
}
