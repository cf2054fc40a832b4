// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
)

// kubernetesStage is the name of the work on k3s and k0s in the report. Its mark below
// stageDir is the start condition of kairos-kubernetes.service.
const kubernetesStage = "kubernetes"

// Kubernetes makes the node what the config says of k3s and k0s: it writes their config
// files, and starts, restarts or stops their service. It does not wait for the service.
func (n *Node) Kubernetes(ctx context.Context) error {
	e := n.engine(true)
	r := n.configureKubernetes(ctx, e.System)
	if err := errors.Join(n.record(e, r), n.writeStageIssue()); err != nil {
		return err
	}
	if !r.OK() {
		return ErrSaid
	}
	return nil
}

func (n *Node) configureKubernetes(ctx context.Context, system stages.System) stages.StageReport {
	start := time.Now()
	c, loaded := n.configNow()
	r := stages.StageReport{Stage: kubernetesStage, Start: start.UTC().Truncate(time.Second), Steps: []stages.StepReport{{Items: []report.Item{}}}}
	step := &r.Steps[0]
	step.Name, step.Origin = kubernetes.Title(c)
	image, err := kubernetes.ReadImage(os.DirFS(n.Root.Dir))
	if err != nil {
		step.Outcome, step.Message = stages.Failed, err.Error()
	} else {
		step.Items = append(step.Items, n.kubernetesMachine(system).Run(ctx, c, loaded.Files, image)...)
		step.Outcome = stages.OutcomeOf(step.Items)
	}
	r.Milliseconds = sinceMilliseconds(start)
	step.Milliseconds = r.Milliseconds
	return r
}

func (n *Node) kubernetesMachine(system stages.System) *kubernetes.Machine {
	return &kubernetes.Machine{Root: n.Root, System: system, Kernel: kubernetes.Linux{}}
}

// StopContainers ends the containers that k3s or k0s has left running, after its service
// has stopped.
func (n *Node) StopContainers(ctx context.Context) error {
	return n.kubernetesMachine(n.engine(true).System).Stop(ctx)
}

// KubernetesFiles writes what the role has below its data directory. It runs before every
// start of the service, behind the mounts, and goes by what was applied.
func (n *Node) KubernetesFiles(context.Context) error {
	items, err := n.kubernetesMachine(nil).Files()
	for _, i := range items {
		if i.Outcome != report.Unchanged {
			fmt.Fprintln(n.Stderr, "kairos: "+i.String())
		}
	}
	return err
}

// needsKubernetes tells whether kairos-kubernetes.service has anything to do.
func (n *Node) needsKubernetes(stage string, c *config.Config) bool {
	return stage == kubernetesStage && (kubernetes.Wanted(c) || n.Root.Exists(layout.ImageKubernetes))
}
