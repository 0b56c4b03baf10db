package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"orrery/sim/topology"
)

func newTopology() *cobra.Command {
	var sets []string
	v := topologyView{}
	output := ""
	c := &cobra.Command{
		Use:   "topology SCENARIO",
		Short: "Draw where a scenario's nodes stand: layers, domains, bandwidths, labels",
		Long: `Draws cluster.topology as a tree and lists its layers.

A layer is a kind of place, from coarse to fine: region, zone, core, spine, leaf, nvlink (nodes whose GPUs share one
scale-up domain, such as the trays of an NVL72 rack) and node. A domain is one such place: leaf-0. Domains that are
alike are drawn once, with their number; --expand draws each.

  uplink            what all links from a domain to what lies above it carry, in one direction; no limit = nobody said
  2:1               oversubscription: the domain's members can send up twice as much as its uplink carries
  rails             leaves side by side, NIC r of every node on leaf r; each carries an equal part of the uplink
  hop               what one switch of the layer adds to the time of a message
  labels            keys of the node labels by which pods and gangs can ask for one domain of the layer

In Kubernetes the labels are on the nodes: see orrery export nodes.`,
		Example: `  orrery topology demo --set 'cluster.topology={fabrics: [{preset: rail-optimized, network: infiniband-ndr}]}'
  orrery topology my.yaml --depth 2
  orrery topology my.yaml -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := load(args[0], sets)
			if err != nil {
				return err
			}
			if v.depth < 0 {
				return usageError{fmt.Errorf("--depth %d: write the layers to draw, or 0 for all", v.depth)}
			}
			if v.plan, err = s.Outline(); err != nil {
				return usageError{err}
			}
			if v.plan.Topology == nil {
				return usageError{errors.New(`the scenario does not say where its nodes stand; add cluster.topology, or try
  --set 'cluster.topology={fabrics: [{preset: rail-optimized, network: infiniband-ndr}]}'`)}
			}
			if v.graph, err = topology.New(v.plan); err != nil {
				return err
			}
			text, err := v.text(), error(nil)
			switch output {
			case "text":
			case "json":
				text, err = v.json()
			default:
				err = usageError{fmt.Errorf("-o %s: write text or json", output)}
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.OutOrStdout(), text)
			return err
		},
	}
	c.Flags().StringArrayVar(&sets, "set", nil, "override as path=value; repeatable")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	c.Flags().IntVar(&v.depth, "depth", 0, "layers to draw, from the coarsest; 0 = all")
	c.Flags().BoolVar(&v.expand, "expand", false, "draw every domain and node, also those that are alike")
	return c
}
