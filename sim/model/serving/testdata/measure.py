"""Measures what calibrates the model of serving on one GPU: memory bandwidth by size, matrix products by rows, an
iteration of a transformer of the shape of Llama 3 8B (random weights, CUDA graphs) by batch and context, prompts by
length, sampling, and what two processes get that share the GPU by time slices.

    python3 measure.py [--small] [--only SECTION] [--out FILE]

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
                           ("bandwidth", bandwidth)]:
        if a.only in name:
            section(name, f, a.small, *more)


main()
