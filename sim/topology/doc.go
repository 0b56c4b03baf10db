// Package topology answers where the nodes of a plan stand to each other: which domains a set of nodes touches, which
// links lie between two nodes and how wide they are, what the tightest placement of a job would be, and what the links
// inside one node give to a set of its GPUs.
//
// A Graph is a tree. Its leaves are the nodes; above them are the domains of the plan's topology, each within one
// domain of the layer above; the root stands for whatever joins the topmost domains. Every domain but the root hangs on
// one link in each direction: a node on its NICs, a domain of switches on all its uplinks together. A domain that
// shares one scale-up network (a rack of NVL72) is no station on that way: between its own nodes traffic goes through
// the GPUs' NVLink ports, and what leaves it goes through the nodes' NICs to the leaf that the domain stands in.
//
// # Rails
//
// In a rail-optimised fabric NIC r of every node of a scalable unit is connected to the unit's leaf r. The unit with
// all its rail leaves is one domain of kind leaf here, with as many Rails as a node has NICs; its link is the uplinks
// of all rail leaves. That is exact where each GPU sends on its own NIC, which is how NCCL builds rings and trees: all
// rails then carry the same, and none is full before another. Traffic between different rails changes over inside the
// sending node, by NVLink (NCCL's PXN), so within a unit it is one switch away too. What the sum hides is a job that
// uses a part of the GPUs of its nodes: it can send on its own rails only. Link.Of gives the part of a link that so
// many rails have.
//
// # Not modelled
//
// Adaptive routing is taken as perfect: a domain's uplinks are one pipe (hash collisions of static routing cost 50 to
// 75 % of it, arXiv 2410.21680). Links that fail, and the network for storage and services, are not here.
package topology
