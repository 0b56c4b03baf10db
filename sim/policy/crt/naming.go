package crt

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"orrery/sim/engine"
	"orrery/sim/units"
)

// naming is a client that gives names itself where the API would generate them: from what the object says and the
// instant. Goroutines that create objects at once get the same names in whatever order Go runs them, because objects
// that say the same are alike.
type naming struct {
	client.Client
	engine *engine.Engine

	mu   sync.Mutex
	at   units.Time
	made map[uint64]int // at this instant, by what the objects say
}

func newNaming(c client.Client, e *engine.Engine) *naming {
	return &naming{Client: c, engine: e, made: map[uint64]int{}}
}

// Create implements client.Client.
func (n *naming) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	if obj.GetName() == "" && obj.GetGenerateName() != "" {
		name, err := n.name(obj)
		if err != nil {
			return err
		}
		obj.SetName(name)
	}
	return n.Client.Create(ctx, obj, opts...)
}

// The form of generated names: k8s.io/apiserver/pkg/storage/names, k8s.io/apimachinery/pkg/util/rand.
const (
	alphabet  = "bcdfghjklmnpqrstvwxz2456789"
	suffixLen = 5
	baseMax   = 63 - suffixLen
)

func (n *naming) name(obj client.Object) (string, error) {
	text, err := json.Marshal(obj)
	if err != nil {
		return "", fmt.Errorf("naming a %T: %w", obj, err)
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%T/", obj)
	_, _ = h.Write(text) // never fails
	key := h.Sum64()
	now := n.engine.Now()
	n.mu.Lock()
	if now != n.at {
		n.at = now
		clear(n.made)
	}
	n.made[key]++
	fmt.Fprintf(h, "/%d/%d", now, n.made[key])
	n.mu.Unlock()
	sum := h.Sum64()
	begin := obj.GetGenerateName()
	out := []byte(begin[:min(len(begin), baseMax)])
	for range suffixLen {
		out = append(out, alphabet[sum%uint64(len(alphabet))])
		sum /= uint64(len(alphabet))
	}
	return string(out), nil
}
