"""The papers' figures: on their own data, and so only to be laid beside ours.

3MToken's Table 1 and Figure 2b; TalkPlay's Table 2 and section 5.2. TalkPlay's Figure 3 is a drawing without numbers.
"""

KS = (5, 10, 20, 50)
TABLE_1 = {  # Hit@5, 10, 20, 50 on playlists; the same on co-occurrence pairs
    "m3token": ((0.284, 0.352, 0.418, 0.513), (0.300, 0.375, 0.433, 0.510)),
    "kmeans": ((0.225, 0.293, 0.386, 0.495), (0.228, 0.309, 0.387, 0.495)),
    "vqvae": ((0.184, 0.258, 0.332, 0.443), (0.178, 0.247, 0.322, 0.430)),
    "m3token_tc": ((0.099, 0.151, 0.216, 0.307), (0.165, 0.239, 0.322, 0.426)),
    "m3token_st": ((0.073, 0.112, 0.158, 0.233), (0.091, 0.132, 0.183, 0.269)),
    "m3token_sc": ((0.055, 0.100, 0.154, 0.230), (0.078, 0.123, 0.179, 0.260)),
    "m3token_ac": ((0.084, 0.108, 0.130, 0.172), (0.109, 0.138, 0.164, 0.203)),
    "m3token_sf": ((0.085, 0.110, 0.132, 0.159), (0.139, 0.180, 0.206, 0.229)),
    "m3token_ab": ((0.028, 0.046, 0.068, 0.110), (0.026, 0.046, 0.071, 0.114)),
    "m3token_bm": ((0.017, 0.032, 0.056, 0.102), (0.024, 0.037, 0.064, 0.110)),
}
HITS = {
    (system, protocol, k): value
    for system, protocols in TABLE_1.items()
    for protocol, values in zip(("cp", "co"), protocols, strict=True)
    for k, value in zip(KS, values, strict=True)
}
GAIN_MULTIMODAL = (0.27, 0.32, 0.20, 0.21, 0.08, 0.12, 0.04, 0.03)  # at each k: playlists, pairs
GAIN_UNIMODAL = (1.87, 0.82, 1.33, 0.57, 0.93, 0.34, 0.67, 0.20)
WITHOUT_ONE = -0.0326  # mean relative change of CBR without one modality

TURN_KS = (1, 10, 100)
TABLE_2 = {  # MRR, then Hit@1, 10, 100; by our name of the system
    "talkplay_sampled": (0.023, 0.014, 0.036, 0.142),
    "bm25": (0.005, 0.001, 0.009, 0.037),
    "dense": (0.020, 0.007, 0.042, 0.133),  # NV-Embed-v2
    "clap": (0.000, 0.000, 0.000, 0.003),
}
TURNS = {
    (system, metric, k): value
    for system, values in TABLE_2.items()
    for (metric, k), value in zip([("mrr", 0), *(("hit", k) for k in TURN_KS)], values, strict=True)
} | {("talkplay_sampled", "exact", 0): 0.497}
