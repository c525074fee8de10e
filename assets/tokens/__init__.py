"""From vectors to tokens.

Vectors come in by modality. Codebooks and the codes of each track go out: TalkPlay's K-means with five codes (section
4.1), 3MToken's RQ-VAE with three levels in nine modalities (2.2), and the VQ-VAE and K-means it is compared with (3.3).
A missing modality has its own code, one past the last. The codebooks' hash travels with every table made from them.
"""
