"""SQL that several tasks share."""

from __future__ import annotations

from mmecinstruct.tasks.settings import TaskSettings


def sample_id(task: str, *columns: str) -> str:
    """Return the expression of a sample's id: 24 hexadecimal digits of a hash of task and source record ids."""
    return f"left(sha256(concat_ws(chr(31), '{task}', {', '.join(columns)})), 24)"


def comparable_title(column: str) -> str:
    """Return the expression of a title as it is compared: lower case, only letters, marks and digits.

    A title without any of these is compared as it is.
    """
    lowered = f"lower(nfc_normalize({column}))"
    words = f"trim(regexp_replace({lowered}, '[^\\p{{L}}\\p{{M}}\\p{{N}}]+', ' ', 'g'))"
    return f"coalesce(nullif({words}, ''), {lowered})"


def letter(position: str) -> str:
    """Return the expression of the letter of an option, whose position counts from 1."""
    return f"chr(64 + ({position})::INTEGER)"


def product_image(role: str, product_id: str, image_urls: str) -> str:
    """Return the expression of one wanted image; `role` and the others are expressions themselves."""
    return (
        f"{{'role': {role}, 'product_id': {product_id}, 'image_urls': coalesce({image_urls}, []::VARCHAR[])}}"
    )


def has_images(settings: TaskSettings, condition: str) -> str:
    """Return `condition` where the task needs images, else the condition that is always met."""
    return "true" if settings.require_images == "none" else f"({condition})"


def first_row(record_id: str) -> str:
    """Return the clause that keeps the first row of each repeated id, as curation does.

    Compute expressions over a row's texts in a query after this clause, or its window would hold the texts.
    """
    return f"QUALIFY row_number() OVER (PARTITION BY {record_id} ORDER BY file_index, row_index) = 1"
