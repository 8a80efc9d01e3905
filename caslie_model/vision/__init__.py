"""The frozen vision encoder, and its features on disk."""

from __future__ import annotations

from caslie_model.vision.encoder import VisionEncoder, load_vision_encoder
from caslie_model.vision.feature_cache import FeatureCache, open_feature_cache
from caslie_model.vision.feature_computation import FeatureCounts, compute_features, features

__all__ = [
    "FeatureCache",
    "FeatureCounts",
    "VisionEncoder",
    "compute_features",
    "features",
    "load_vision_encoder",
    "open_feature_cache",
]
