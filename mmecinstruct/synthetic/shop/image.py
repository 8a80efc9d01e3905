"""Images of the sample shop: what is to be drawn, and drawing it.

An image depends on its specification and its size alone, so any worker may draw it. A catalogue image
shows the product on a light ground; a review's image shows it on somebody's table, in the state that the
rating speaks of. Position, size, tilt and ground vary a little.
"""

from __future__ import annotations

import io

from mmecinstruct.synthetic.shop.image_spec import ImageSpec

JPEG_QUALITY = 80
REPACKED_QUALITY = 60
TINY_SIDE = 16


def draw_image(spec: ImageSpec, side: int) -> bytes:
    """Return an image as the bytes of a JPEG file of `side` by `side` pixels."""
    from mmecinstruct.synthetic.shop.image_scene import draw_placeholder, draw_scene

    if spec.flaw == "placeholder":
        image = draw_placeholder(side)
    elif spec.flaw == "tiny":
        image = draw_scene(spec, side).resize((TINY_SIDE, TINY_SIDE))
    else:
        image = draw_scene(spec, side)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=REPACKED_QUALITY if spec.flaw == "repacked" else JPEG_QUALITY)
    content = stream.getvalue()
    return content[: len(content) // 2] if spec.flaw == "truncated" else content
