"""What the training data must look like, and what the model's answers are."""

from pandera.pandas import Check, Column, DataFrameSchema

TARGET = "target"

# What is known of a driver, the region and the car; `_cat` are categories, `_bin` yes or no; -1 stands for missing.
FEATURES = (
    *("ps_ind_01", "ps_ind_02_cat", "ps_ind_03", "ps_ind_04_cat", "ps_ind_05_cat"),
    *("ps_ind_06_bin", "ps_ind_07_bin", "ps_ind_08_bin", "ps_ind_09_bin", "ps_ind_10_bin", "ps_ind_11_bin"),
    *("ps_ind_12_bin", "ps_ind_13_bin", "ps_ind_14", "ps_ind_15", "ps_ind_16_bin", "ps_ind_17_bin", "ps_ind_18_bin"),
    *("ps_reg_01", "ps_reg_02", "ps_reg_03"),
    *("ps_car_01_cat", "ps_car_02_cat", "ps_car_03_cat", "ps_car_04_cat", "ps_car_05_cat", "ps_car_06_cat"),
    *("ps_car_07_cat", "ps_car_08_cat", "ps_car_09_cat", "ps_car_10_cat", "ps_car_11_cat"),
    *("ps_car_11", "ps_car_12", "ps_car_13", "ps_car_14", "ps_car_15"),
    *("ps_calc_01", "ps_calc_02", "ps_calc_03", "ps_calc_04", "ps_calc_05", "ps_calc_06", "ps_calc_07"),
    *("ps_calc_08", "ps_calc_09", "ps_calc_10", "ps_calc_11", "ps_calc_12", "ps_calc_13", "ps_calc_14"),
    *("ps_calc_15_bin", "ps_calc_16_bin", "ps_calc_17_bin", "ps_calc_18_bin", "ps_calc_19_bin", "ps_calc_20_bin"),
)

# The features that are not whole numbers.
REAL = (
    *("ps_reg_01", "ps_reg_02", "ps_reg_03", "ps_car_12", "ps_car_13", "ps_car_14", "ps_car_15"),
    *("ps_calc_01", "ps_calc_02", "ps_calc_03"),
)

WHOLE = Check(lambda values: values % 1 == 0, name="whole_number", error="whole_number")


def rules(name: str) -> list[Check]:
    """Return the rules for a feature, by the ending of its name."""
    if name.endswith("_bin"):
        return [Check.isin([0, 1])]
    return [Check.in_range(-1, 1000)] + ([] if name in REAL else [WHOLE])


TRAINING_DATA = DataFrameSchema(
    {
        "id": Column(float, WHOLE, unique=True),
        TARGET: Column(float, Check.isin([0, 1])),
        **{name: Column(float, rules(name)) for name in FEATURES},
    },
    strict=True,
    coerce=True,
)

# The two classes, and from what probability on the second one is answered: claims are rare, so it is low.
LABELS: tuple[str, str] | None = ("no claim", "claim")
THRESHOLD: float | None = 0.08
