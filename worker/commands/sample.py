"""A deterministic sample of ``coin_metrics``: coins with a real but imperfect signal."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

COINS = 300
SEED = 20240101
_FIRST_BIRTH, _LAST_BIRTH = pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-03-31", tz="UTC")
_SUPPLY = 1e9
_LEVEL = np.log(45_000)  # market capitalisation that the coins swing around
# Seconds after birth at which a coin has a row: every 5 s, then 30 s, then 60 s, as in ref_coin_phases.
_AGES = np.concatenate([np.arange(0, 600, 5), np.arange(600, 3600, 30), np.arange(3600, 6000, 60)])


def make_metrics(coins: int = COINS, seed: int = SEED) -> pd.DataFrame:
    """Make rows for so many coins, each with its own level, swings, volume and gaps.

    A coin's log market capitalisation swings around a level of its own; activity runs ahead of the swings,
    so that volume and buying tell something of the next rows, and never all. Some values are NULL.

    Returns:
        Rows with columns of ``coin_metrics``, ordered by coin and time.
    """
    rng = np.random.default_rng(seed)
    births = np.sort(rng.uniform(_FIRST_BIRTH.timestamp(), _LAST_BIRTH.timestamp(), coins))
    return pd.concat(
        [_make_coin(f"SAMPLE_{number:04d}", birth, rng) for number, birth in enumerate(births, 1)],
        ignore_index=True,
    )


def to_csv(metrics: pd.DataFrame, rows: int = 20_000) -> Iterator[bytes]:
    """Write CSV with a header line, in blocks."""
    for start in range(0, len(metrics), rows):
        yield metrics.iloc[start : start + rows].to_csv(index=False, header=start == 0).encode()


def _make_coin(mint: str, birth: float, rng: np.random.Generator) -> pd.DataFrame:
    num_rows = len(_AGES)
    swing = rng.uniform(0.15, 0.3)
    push = rng.normal(0, swing, num_rows)  # what buyers are about to do
    pull = np.empty(num_rows)
    level = _LEVEL + rng.normal(0, 0.35)
    value = level + rng.normal(0, 0.3)
    for row in range(num_rows):
        value += 0.12 * (level - value) + 0.7 * push[row - 1] + rng.normal(0, swing)
        pull[row] = value
    close = np.exp(pull) / _SUPPLY
    opened = np.concatenate([[np.exp(level) / _SUPPLY], close[:-1]])
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 2 * swing, num_rows)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 2 * swing, num_rows)))
    volume = np.exp(rng.normal(0.5, 0.8, num_rows) + 6 * np.abs(push))
    bought = 1 / (1 + np.exp(-8 * push - rng.normal(0, 0.5, num_rows)))
    trades = rng.poisson(3 + volume)
    buys = rng.binomial(trades, bought)
    times = pd.to_datetime(birth + _AGES, unit="s", utc=True).round("ms")
    coin = pd.DataFrame(
        {
            "mint": mint,
            "timestamp": times.strftime("%Y-%m-%d %H:%M:%S.%f+00"),
            "phase_id_at_time": np.select([_AGES < 600, _AGES < 3600], [1, 2], 3),
            "price_open": opened.round(12),
            "price_high": high.round(12),
            "price_low": low.round(12),
            "price_close": close.round(12),
            "market_cap_close": (close * _SUPPLY).round(2),
            "volume_sol": volume.round(6),
            "buy_volume_sol": (volume * bought).round(6),
            "sell_volume_sol": (volume * (1 - bought)).round(6),
            "net_volume_sol": (volume * (2 * bought - 1)).round(6),
            "num_buys": buys,
            "num_sells": trades - buys,
            "volatility_pct": ((high / low - 1) * 100).round(4),
            "buy_pressure_ratio": bought.round(6),
        }
    )
    for column, share in (("volume_sol", 0.02), ("buy_pressure_ratio", 0.1), ("volatility_pct", 0.01)):
        coin.loc[rng.random(num_rows) < share, column] = np.nan
    return coin
