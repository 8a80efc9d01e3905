"""Render the images of the sample shop.

An image depends only on its specification and size, so any worker can render it. A catalogue image shows the product
on a light background; a review's image shows it on a table, in the state that matches the rating. Position, size, tilt
and background vary a little.
"""

from __future__ import annotations

import io

from mmecinstruct.synthetic.shop.image_spec import ImageSpec

JPEG_QUALITY = 80
REPACKED_QUALITY = 60
TINY_SIDE = 16


def render_image(spec: ImageSpec, side: int) -> bytes:
    """Return an image as a JPEG file.

    Args:
        spec: The specification of the image.
        side: Width and height in pixels.
    """
    from mmecinstruct.synthetic.shop.image_scene import render_placeholder, render_scene

    if spec.flaw == "placeholder":
        image = render_placeholder(side)
    elif spec.flaw == "tiny":
        image = render_scene(spec, side).resize((TINY_SIDE, TINY_SIDE))
    else:
        image = render_scene(spec, side)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=REPACKED_QUALITY if spec.flaw == "repacked" else JPEG_QUALITY)
    content = stream.getvalue()
    return content[: len(content) // 2] if spec.flaw == "truncated" else content
