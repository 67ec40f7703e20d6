"""What the training data must look like, and what the model's answers are."""

from pandera.pandas import Check, Column, DataFrameSchema

TARGET = "Y"

# Ten measurements of a patient, centred and scaled by the source of the data.
FEATURES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")

TRAINING_DATA = DataFrameSchema(
    {
        **{name: Column(float, Check.in_range(-1, 1)) for name in FEATURES},
        TARGET: Column(float, Check.in_range(0, 1000)),
    },
    strict=True,
    coerce=True,
)

# A classifier names its two classes here, and from what probability on the second one is answered.
LABELS: tuple[str, str] | None = None
THRESHOLD: float | None = None
