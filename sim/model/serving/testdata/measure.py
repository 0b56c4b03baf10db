"""Measures what calibrates the model of serving on one GPU: memory bandwidth by size, matrix products by rows, an
iteration of a transformer of the shape of Llama 3 8B (random weights, CUDA graphs) by batch and context, prompts by
length, sampling, what two processes get that share the GPU by time slices; the products of mixtures of experts by tokens
an expert gets, whole layers of experts, the casts to 8 bits, and what starting kernels costs.

    python3 measure.py [--small] [--only SECTION,…] [--out FILE]

writes one JSON object a line; --small is a dry run with tiny shapes.

Needs PyTorch with CUDA. Times are medians of five runs of at least 60 ms each, in seconds.
"""
import argparse
import json
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

HALF, FP8 = torch.bfloat16, torch.float8_e4m3fn
out = None


def say(**row):
    line = json.dumps(row)
    print(line, flush=True)
    if out:
        out.write(line + "\n")
        out.flush()


def section(name, f, *args):
    begin = time.time()
    try:
        f(*args)
    except Exception as e:  # one section that fails leaves the others
        say(what="failed", section=name, error=f"{type(e).__name__}: {str(e)[:300]}")
        torch.cuda.empty_cache()
    say(what="section", name=name, seconds=round(time.time() - begin, 1))


def timed(f, least=0.06, runs=5):
    f()
    torch.cuda.synchronize()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def once(n):
        begin.record()
        for _ in range(n):
            f()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1e3 / n

    n = max(1, int(least / max(once(2), 1e-7)))
    return statistics.median(once(n) for _ in range(runs))


def graphed(f):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        f()
        f()
    torch.cuda.current_stream().wait_stream(side)
    g = torch.cuda.CUDAGraph()
    with torch.cuda.graph(g):
        f()
    return g.replay


@torch.compile(dynamic=True)
def add_norm(x, y, w):
    s = x + y
    f = s.float()
    return s, (f * torch.rsqrt(f.pow(2).mean(-1, keepdim=True) + 1e-5)).to(s.dtype) * w


@torch.compile(dynamic=True)
def silu_mul(x):
    a, b = x.chunk(2, -1)
    return F.silu(a) * b


@torch.compile(dynamic=True)
def rope(x, cos, sin):  # [tokens, heads, head]
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Model:
    """A decoder with grouped-query attention, weights random. fp8: the matrices of the layers are 8 bits wide."""

    def __init__(self, shape, fp8=False):
        self.layers, self.hidden, self.heads, self.kv, self.head, self.ffn, self.vocabulary = shape
        self.fp8 = fp8
        self.one = torch.ones((), device="cuda", dtype=torch.float32)
        h, q, k = self.hidden, self.heads * self.head, self.kv * self.head
        self.w = [(self.matrix(h, q + 2 * k), self.matrix(q, h), self.matrix(h, 2 * self.ffn), self.matrix(self.ffn, h))
                  for _ in range(self.layers)]
        self.norm = torch.ones(h, device="cuda", dtype=HALF)
        self.output = torch.randn(self.vocabulary, h, device="cuda", dtype=HALF) * 0.02
        self.cos = torch.randn(1, 1, self.head // 2, device="cuda", dtype=HALF)
        self.sin = torch.randn(1, 1, self.head // 2, device="cuda", dtype=HALF)

    def matrix(self, k, n):
        w = torch.randn(n, k, device="cuda", dtype=HALF) * 0.02
        return w.to(FP8) if self.fp8 else w

    def mul(self, x, w):
        if self.fp8:
            return torch._scaled_mm(x.to(FP8), w.t(), scale_a=self.one, scale_b=self.one, out_dtype=HALF)
        return x @ w.t()

    def step(self, x, attend):
        res, y = x, torch.zeros_like(x)
        q, k = self.heads * self.head, self.kv * self.head
        for i, (wqkv, wo, wup, wdown) in enumerate(self.w):
            res, n = add_norm(res, y, self.norm)
            qkv = self.mul(n, wqkv)
            qq = rope(qkv[:, :q].view(-1, self.heads, self.head), self.cos, self.sin)
            kk = rope(qkv[:, q:q + k].view(-1, self.kv, self.head), self.cos, self.sin)
            vv = qkv[:, q + k:].view(-1, self.kv, self.head)
            y = self.mul(attend(i, qq, kk, vv).reshape(x.shape[0], q), wo)
            res, n = add_norm(res, y, self.norm)
            y = self.mul(silu_mul(self.mul(n, wup)), wdown)
        return add_norm(res, y, self.norm)[1]

    def decode(self, batch, context, cache):
        """One iteration of batch sequences with the same context, each getting a token."""
        size = batch * self.kv * context * self.head
        keys = [c[0, :size].view(batch, self.kv, context, self.head) for c in cache]
        values = [c[1, :size].view(batch, self.kv, context, self.head) for c in cache]
        group = self.heads // self.kv

        def attend(i, q, k, v):
            keys[i][:, :, -1, :] = k
            values[i][:, :, -1, :] = v
            # The query heads of a group are rows of one query: grouped-query attention without copies.
            # Of PyTorch's kernels cuDNN's reads most evenly, but it does not split a lone sequence over the GPU.
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION if batch < 4 else SDPBackend.CUDNN_ATTENTION):
                return F.scaled_dot_product_attention(q.view(batch, self.kv, group, self.head), keys[i], values[i])

        x = torch.randn(batch, self.hidden, device="cuda", dtype=HALF)

        def f():
            logits = self.step(x, attend) @ self.output.t()
            return logits.argmax(-1)

        return f

    def prefill(self, tokens):
        def attend(i, q, k, v):
            q, k, v = (t.transpose(0, 1).unsqueeze(0) for t in (q, k, v))
            with sdpa_kernel([SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION], set_priority=True):
                o = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            return o.squeeze(0).transpose(0, 1)

        x = torch.randn(tokens, self.hidden, device="cuda", dtype=HALF)
        return lambda: (self.step(x, attend)[-1:] @ self.output.t()).argmax(-1)


def bandwidth(small):
    for p in range(20, 24 if small else 34):
        x = torch.ones(1 << p, device="cuda", dtype=torch.uint8).view(torch.float32)
        y = torch.empty_like(x)
        many = [torch.ones_like(x) for _ in range(max(1, min(256, (1 << 28) >> p)))]  # more than the cache holds
        read = graphed(lambda: [t.sum() for t in many])
        copy = graphed(lambda: [y.copy_(t) for t in many])
        say(what="bandwidth", bytes=1 << p, read=timed(read) / len(many), copy=timed(copy) / len(many))


def products(small):
    k, n = (256, 512) if small else (4096, 28672)
    w = [torch.randn(n, k, device="cuda", dtype=HALF) * 0.02 for _ in range(2 if small else 4)]
    w8 = [t.to(FP8) for t in w]
    one = torch.ones((), device="cuda", dtype=torch.float32)
    for m in [1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096, 8192]:
        x = torch.randn(m, k, device="cuda", dtype=HALF)
        x8 = x.to(FP8)
        a = timed(graphed(lambda: [x @ t.t() for t in w])) / len(w)
        b = 0
        try:
            b = timed(graphed(lambda: [torch._scaled_mm(x8, t.t(), scale_a=one, scale_b=one, out_dtype=HALF)
                                       for t in w8])) / len(w)
        except Exception as e:
            say(what="failed", section=f"fp8 product of {m} rows", error=str(e)[:200])
        say(what="product", m=m, k=k, n=n, bf16=a, fp8=b)


def cache_of(model, tokens):
    return [torch.randn(2, tokens * model.kv * model.head, device="cuda", dtype=HALF) for _ in range(model.layers)]


def iterations(small, fp8):
    shape = (2, 256, 8, 2, 32, 512, 1000) if small else (32, 4096, 32, 8, 128, 14336, 128256)
    m = Model(shape, fp8)
    kind = "fp8" if fp8 else "bf16"
    most = 4096 if small else 300_000
    with torch.no_grad():
        cache = cache_of(m, most)
        for batch in [1, 4, 16, 32, 64, 128, 256, 512]:
            for context in [128, 1024, 4096, 16384]:
                if batch * context <= most and (context != 16384 or batch in (1, 16)):
                    say(what="decode", kind=kind, batch=batch, context=context,
                        seconds=timed(graphed(m.decode(batch, context, cache))))
        del cache
        torch.cuda.empty_cache()
        for tokens in [64] if small else [16, 64, 256, 512, 1024, 2048, 4096, 8192, 16384]:
            say(what="prefill", kind=kind, tokens=tokens, seconds=timed(graphed(m.prefill(tokens))))
    del m
    torch.cuda.empty_cache()


def attention(small):
    """Attention alone, by kernel: decoding, then prompts."""
    for batch, context in [(2, 64)] if small else [(1, 4096), (16, 1024), (16, 16384), (128, 1024), (256, 1024)]:
        # two caches by turns, so that small ones do not stay in the GPU's own cache
        q = torch.randn(batch, 8, 4, 128, device="cuda", dtype=HALF)
        kv = [torch.randn(2, batch, 8, context, 128, device="cuda", dtype=HALF) for _ in range(8)]
        for name in ["FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION"]:
            try:
                with sdpa_kernel(getattr(SDPBackend, name)):
                    t = timed(graphed(lambda: [F.scaled_dot_product_attention(q, c[0], c[1]) for c in kv])) / len(kv)
                say(what="attention", kernel=name, batch=batch, context=context, bytes=kv[0].nbytes, seconds=t)
            except Exception as e:
                say(what="failed", section=f"attention {name}", error=str(e)[:150])
        del kv
    for tokens in [64] if small else [1024, 4096, 16384]:
        q, k = (torch.randn(1, n, tokens, 128, device="cuda", dtype=HALF) for n in (32, 8))
        for name in ["FLASH_ATTENTION", "CUDNN_ATTENTION"]:
            try:
                with sdpa_kernel(getattr(SDPBackend, name)):
                    t = timed(graphed(lambda: F.scaled_dot_product_attention(q, k, k, is_causal=True, enable_gqa=True)))
                say(what="causal", kernel=name, tokens=tokens, seconds=t)
            except Exception as e:
                say(what="failed", section=f"causal {name}", error=str(e)[:150])


def sampling(small):
    v = 1000 if small else 128256
    for batch in [1, 16, 64, 256]:
        x = torch.randn(batch, v, device="cuda", dtype=HALF)
        say(what="sample", batch=batch, greedy=timed(graphed(lambda: x.argmax(-1))),
            softmax=timed(graphed(lambda: torch.multinomial(torch.softmax(x.float() / 0.7, -1), 1))))


def shapes(small):
    """Products of the other matrices of a layer, and the cast of their input to 8 bits."""
    one = torch.ones((), device="cuda", dtype=torch.float32)
    for k, n in [(256, 512)] if small else [(4096, 6144), (4096, 4096), (14336, 4096)]:
        count = 2 if small else max(2, (1 << 28) // (k * n))
        w = [torch.randn(n, k, device="cuda", dtype=HALF) * 0.02 for _ in range(count)]
        w8 = [t.to(FP8) for t in w]
        for m in [1, 16, 64, 256, 1024, 4096, 16384]:
            x = torch.randn(m, k, device="cuda", dtype=HALF)
            x8 = x.to(FP8)
            a = timed(graphed(lambda: [x @ t.t() for t in w]), 0.03, 3) / count
            b = timed(graphed(lambda: [torch._scaled_mm(x8, t.t(), scale_a=one, scale_b=one, out_dtype=HALF)
                                       for t in w8]), 0.03, 3) / count
            c = timed(graphed(lambda: [x.to(FP8) for _ in range(count)]), 0.03, 3) / count
            say(what="shape", m=m, k=k, n=n, bf16=a, fp8=b, cast=c)


# Experts that one GPU holds: of a layer of Qwen3 30B-A3B (all), Mixtral 8x7B (all), Qwen3 235B-A22B on eight GPUs, Llama
# 4 Scout on four, DeepSeek V3 on eight: experts, hidden, width.
SHARDS = [("qwen3-30b-a3b", 128, 2048, 768), ("mixtral-8x7b", 8, 4096, 14336), ("qwen3-235b-a22b", 16, 4096, 1536),
          ("llama-4-scout", 4, 5120, 8192), ("deepseek-v3", 32, 7168, 2048)]


def offsets(sizes):
    return torch.tensor(sizes, device="cuda").cumsum(0).to(torch.int32)


def experts(small):
    """Grouped products (CUTLASS kernels of PyTorch) by tokens an expert gets: all the same, or as chance deals them."""
    torch.manual_seed(1)
    for name, count, hidden, width in [("small", 4, 256, 128)] if small else SHARDS:
        up = torch.randn(count, 2 * width, hidden, device="cuda", dtype=HALF) * 0.02
        down = torch.randn(count, hidden, width, device="cuda", dtype=HALF) * 0.02
        up8, down8 = up.to(FP8), down.to(FP8)
        su = torch.ones(count, 2 * width, device="cuda", dtype=torch.float32)
        sd = torch.ones(count, hidden, device="cuda", dtype=torch.float32)
        for m in [1, 4, 16] if small else [1, 4, 16, 32, 64, 128, 256, 512, 1024, 4096]:
            if count * m > 140_000:
                continue
            deals = [("equal", [m] * count)]
            if m in (16, 64, 256):
                deals.append(("chance", torch.bincount(torch.randint(count, (count * m,)), minlength=count).tolist()))
            for deal, sizes in deals:
                rows, offs = sum(sizes), offsets(sizes)
                x = torch.randn(rows, hidden, device="cuda", dtype=HALF)
                h = torch.randn(rows, width, device="cuda", dtype=HALF)
                row = dict(what="experts", kernel=deal, name=name, experts=count, k=hidden, n=width, m=m)
                try:
                    row["up"] = timed(graphed(lambda: torch._grouped_mm(x, up.transpose(-2, -1), offs=offs)), 0.03, 3)
                    row["down"] = timed(graphed(lambda: torch._grouped_mm(h, down.transpose(-2, -1), offs=offs)), 0.03, 3)
                    if deal == "equal" and m % 16 == 0:
                        x8, h8, s = x.to(FP8), h.to(FP8), torch.ones(rows, device="cuda", dtype=torch.float32)
                        row["up8"] = timed(graphed(lambda: torch._scaled_grouped_mm(
                            x8, up8.transpose(-2, -1), s, su, offs=offs, out_dtype=HALF)), 0.03, 3)
                        row["down8"] = timed(graphed(lambda: torch._scaled_grouped_mm(
                            h8, down8.transpose(-2, -1), s, sd, offs=offs, out_dtype=HALF)), 0.03, 3)
                except Exception as e:
                    row["error"] = str(e)[:200]
                say(**row)


@torch.compile(dynamic=True)
def gate(logits, k: int):
    return torch.topk(torch.softmax(logits.float(), -1), k)


@torch.compile(dynamic=True)
def weigh(y, p):
    return (y * p[:, None]).to(y.dtype)


def layers(small):
    """A whole layer of experts: routing, sorting, products, adding up."""
    for name, count, hidden, width, k in [("small", 4, 256, 128, 2)] if small else [
            ("qwen3-30b-a3b", 128, 2048, 768, 8), ("mixtral-8x7b", 8, 4096, 14336, 2)]:
        up = torch.randn(count, 2 * width, hidden, device="cuda", dtype=HALF) * 0.02
        down = torch.randn(count, hidden, width, device="cuda", dtype=HALF) * 0.02
        router = torch.randn(count, hidden, device="cuda", dtype=HALF) * 0.02
        ids = torch.arange(count, device="cuda")
        for n in [1, 4, 16, 64, 256, 1024, 4096, 8192]:
            x = torch.randn(n, hidden, device="cuda", dtype=HALF)

            def route():
                p, e = gate(x @ router.t(), k)
                e = e.flatten()
                order = e.argsort()
                offs = (e[None, :] == ids[:, None]).sum(1).cumsum(0).to(torch.int32)
                return p.flatten()[order], order // k, offs

            def layer():
                p, token, offs = route()
                y = torch._grouped_mm(silu_mul(torch._grouped_mm(x[token], up.transpose(-2, -1), offs=offs)),
                                      down.transpose(-2, -1), offs=offs)
                return torch.zeros_like(x).index_add_(0, token, weigh(y, p))

            p, token, offs = route()
            xs = x[token]
            h = silu_mul(torch._grouped_mm(xs, up.transpose(-2, -1), offs=offs))
            say(what="layer", name=name, m=n, seconds=timed(graphed(layer), 0.03, 3),
                route=timed(graphed(route), 0.03, 3),
                up=timed(graphed(lambda: torch._grouped_mm(xs, up.transpose(-2, -1), offs=offs)), 0.03, 3),
                down=timed(graphed(lambda: torch._grouped_mm(h, down.transpose(-2, -1), offs=offs)), 0.03, 3))


def starts(small):
    """What starting kernels costs: in a graph, one by one, and an iteration of a small batch without a graph."""
    x = torch.ones(1024, device="cuda")

    def many():
        for _ in range(100):
            x.add_(1)

    say(what="start", graph=timed(graphed(many)) / 100, eager=timed(many) / 100)
    m = Model((2, 256, 8, 2, 32, 512, 1000) if small else (32, 4096, 32, 8, 128, 14336, 128256))
    with torch.no_grad():
        cache = cache_of(m, 16 * 128)
        for batch in [4, 16]:
            say(what="eager", kind="bf16", batch=batch, context=128, layers=m.layers,
                seconds=timed(m.decode(batch, 128, cache)))


def share(small, seconds):
    """Runs decode iterations for a while, one process of those that share the GPU; prints how many."""
    shape = (2, 256, 8, 2, 32, 512, 1000) if small else (16, 4096, 32, 8, 128, 14336, 128256)
    m = Model(shape)
    with torch.no_grad():
        replay = graphed(m.decode(32, 512, cache_of(m, 32 * 512)))
        replay()
        torch.cuda.synchronize()
        print("ready", flush=True)
        sys.stdin.readline()
        begin = time.time()
        n = 0
        while time.time() - begin < seconds:
            for _ in range(10):
                replay()
            torch.cuda.synchronize()
            n += 10
        print(n / (time.time() - begin), flush=True)


def slices(small):
    for count in [1, 2, 3]:
        args = [sys.executable, __file__, "--share", "4"] + (["--small"] if small else [])
        procs = [subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)]
        for p in procs:
            while p.stdout.readline().strip() != "ready":
                if p.poll() is not None:
                    raise RuntimeError(f"a process of {count} ended: {p.returncode}")
        for p in procs:
            p.stdin.write("go\n")
            p.stdin.flush()
        say(what="share", processes=count, iterations_per_second=[float(p.communicate()[0].split()[-1]) for p in procs])


def main():
    global out
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--share", type=float)
    parser.add_argument("--out")
    parser.add_argument("--only", default="")
    a = parser.parse_args()
    if a.share:
        share(a.small, a.share)
        return
    if a.out:
        out = open(a.out, "w")
    p = torch.cuda.get_device_properties(0)
    say(what="device", name=p.name, processors=p.multi_processor_count, memory=p.total_memory, torch=torch.__version__,
        date=time.strftime("%Y-%m-%d"))
    for name, f, *more in [("iterations bf16", iterations, False), ("iterations fp8", iterations, True),
                           ("products", products), ("attention", attention), ("sampling", sampling), ("slices", slices),
                           ("bandwidth", bandwidth),
                           ("shapes", shapes), ("experts", experts), ("layers", layers), ("starts", starts)]:
        if not a.only or name in a.only.split(","):
            section(name, f, a.small, *more)


main()
