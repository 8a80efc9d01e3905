"""The frozen vision encoder, and its features on disk."""

from __future__ import annotations

from caslie_model.vision.compute_features import FeatureCounts, compute_features, features
from caslie_model.vision.encoder import VisionEncoder, load_vision_encoder
from caslie_model.vision.feature_cache import FeatureCache, open_feature_cache

__all__ = [
    "FeatureCache",
    "FeatureCounts",
    "VisionEncoder",
    "compute_features",
    "features",
    "load_vision_encoder",
    "open_feature_cache",
]
