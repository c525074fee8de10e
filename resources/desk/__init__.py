"""What every request to a language model passes: prompt, reading, repair and re-asking (one path for all providers);
and for what costs money: kept replies, the ledger with its caps, shared rate limits, retries and the estimate.
"""
