"""Writes golden.txt: what the reference model of the servers answers to the same arrivals.

python3 golden.py ../../../../shared/pacing_model.py > golden.txt
One line per request: arrival in ns, status, Retry-After, remaining, reset; - is absent.
"""
import importlib.util, random, sys
spec = importlib.util.spec_from_file_location('model', sys.argv[1]); M = importlib.util.module_from_spec(spec); spec.loader.exec_module(M)

def arrivals(seed, rate, n=400):
    """Bursts, paced stretches and pauses, in whole ns off the ms grid."""
    g = random.Random(seed); t = 1_000_037; out = []
    while len(out) < n:
        kind = g.random()
        if kind < .3: t += int(g.uniform(1, 4) * 1e9)
        for _ in range(g.randint(5, 60)):
            out.append(t)
            t += int(g.expovariate(rate * (4 if kind < .5 else .9)) * 1e9) + 1
    return out[:n]

def calm(rule, **k): return lambda: M.Server(rule(), lat=0., sigma=0., **k)
SERVERS = {
    'bucket': (20, calm(lambda: M.Bucket(20., 10))),
    'bucket 503': (20, calm(lambda: M.Bucket(20., 11), refuse='503')),
    'bucket hints': (20, calm(lambda: M.Bucket(20., 10), ra=True, hdr=True, ban=(30, 10., 30., False, '403'))),
    'bucket halved': (15, calm(lambda: M.Bucket(15., 10, (8., .5)), ra=True)),
    'sliding RA': (20, calm(lambda: M.Sliding(100, 5.), ra=True, ban=(20, 10., 30., False, '403'))),
    'strict': (20, calm(lambda: M.Sliding(60, 3., True), refuse='403', ban=(10, 10., 6., True, '403'))),
    'fixed': (20, calm(lambda: M.Fixed(60, 3., .75), hdr=True, ban=(60, 10., 5., False, '403'))),
    'stick table': (12, calm(lambda: M.HARate(120, 10., 2.5))),
    'stick table, ban': (12, calm(lambda: M.HARate(120, 10., 2.5), over=(150, 6.))),
    'captcha': (20, calm(lambda: M.Bucket(20., 10), refuse='captcha', ban=(40, 10., 5., False, 'captcha'))),
    'reset': (20, calm(lambda: M.Bucket(20., 10), refuse='reset', ban=(40, 10., 5., False, 'reset'))),
    'nginx burst 0': (10, M.LONG['nginx burst 0']), 'nginx burst 20 nodelay': (10, M.LONG['nginx burst 20 nodelay']),
    'nginx burst 20 delay': (10, M.LONG['nginx burst 20 delay']), 'haproxy': (10, M.LONG['haproxy 100/10s']),
    'envoy': (10, M.LONG['envoy 100/10s']), 'cf': (10, M.LONG['cf 100/10s ban 60 RA']), 'ladder': (10, M.LONG['ladder']),
}
def tie(s, t):
    """nginx reckons in whole thousandths, the model in floats: where the excess is the burst exactly, only one of them is right."""
    n = getattr(s, 'n', s)
    if not isinstance(n, M.Nginx) or n.t is None: return False
    return abs(n.ex - n.r * (int(t * 1000) / 1000 - n.t) + 1 - n.b) < 1e-6
dash = lambda v: '-' if v is None else v
for seed, (name, (rate, make)) in enumerate(SERVERS.items()):
    print('#', name); s = make(); g = random.Random(0)
    last = 0
    for ns in arrivals(seed, rate):
        ns = max(ns, last); t = ns / 1e9
        while tie(s, t): ns += 1_000_000; t = ns / 1e9
        last = ns
        if isinstance(s, M.Server): st, ra, rem, reset, q = s.serve(t, g)
        else: (st, ra, q), rem, reset = s.hit(t), None, None
        print(ns, st, dash(ra), dash(rem), dash(reset), round(q * 1e3))
