"""The columns of the summary table: a row per image, per group, per pair of groups, and pooled."""

from mudrock_cli.measure.tables.columns import Column

_BIHANI = "Bihani et al. 2022, doi 10.1016/j.cageo.2021.104952"
_BOOTSTRAP = "Davison and Hinkley 1997, 3.8 (bootstrap over blocks and images)"
_MILES = "Miles 1974; Lantuéjoul 1980; ISO 13322-1:2014"
_FOLK = "Folk and Ward 1957, doi 10.1306/74D70646-2B21-11D7-8648000102C1865D"
_KANIT = "Kanit et al. 2003, doi 10.1016/S0020-7683(03)00143-4"
_MARDIA = "Mardia and Jupp 2000, 6.3 and 9.4"
_CLARK = "Clark and Evans 1954, doi 10.2307/1931034; Donnelly 1978"
_RIPLEY = "Ripley 1977; Ohser 1983 (translation correction)"
_TORQUATO = "Torquato 2002, Random Heterogeneous Materials, 2.2"
_GURLAND = "Gurland 1958"
_SALTYKOV = "Saltykov 1967; Underwood 1970, 5.4"

_THINGS = {"silt": "silt grains", "pore": "pores"}


def _with_interval(name: str, unit: str, meaning: str, formula: str, citation: str) -> list[Column]:
    """Return a figure and the limits of its 95 % interval; the unit ends all three names."""
    stem, ending = (name, "") if unit == "1" else name.rsplit("_", 1)
    ending = f"_{ending}" if ending else ""
    return [
        Column(name, "float", unit, meaning, formula, citation),
        *(
            Column(
                f"{stem}_{limit}{ending}",
                "float",
                unit,
                f"{words} limit of the 95 % interval of {name}; null for fewer than two blocks",
                "percentile bootstrap, 999 draws, fixed seed",
                _BOOTSTRAP,
            )
            for limit, words in (("low", "lower"), ("high", "upper"))
        ),
    ]


def _describe_sizes(phase: str) -> list[Column]:
    """Return the columns of sizes by number and by area, as seen and corrected for the frame."""
    things, columns = _THINGS[phase], []
    for basis in ("number", "area"):
        for percent in (10, 50, 90):
            share = f"{percent} % of the {basis} of {things}"
            columns += _with_interval(
                f"{phase}_ecd_d{percent}_{basis}_um",
                "µm",
                f"ECD below which {share} lies",
                "weighted percentile, Hyndman and Fan type 5 (Hazen)",
                "Hyndman and Fan 1996, doi 10.1080/00031305.1996.10473566",
            )
            columns.append(
                Column(
                    f"{phase}_ecd_d{percent}_{basis}_corrected_um",
                    "float",
                    "µm",
                    f"the same of {things} that lie whole in the frame, times frame_weight",
                    "weighted percentile, Hyndman and Fan type 5 (Hazen)",
                    _MILES,
                )
            )
    return columns


def _describe_objects(phase: str) -> list[Column]:
    """Return the columns of frame correction, direction and spacing."""
    things = _THINGS[phase]
    return [
        Column(f"{phase}_whole", "int", "1", f"{things} that lie whole in the frame"),
        Column(f"{phase}_corrected_number", "float", "1", f"{things} that belong to the frame",
               "sum of frame weights", _MILES),
        Column(f"{phase}_effective_number", "float", "1", "effective number of frame weights",
               "(sum w)² / sum w²", "Kish 1965"),
        Column(f"{phase}_largest_weight", "float", "1", "largest frame weight"),
        Column(f"{phase}_correction_unstable", "bool", "", "the corrected figures hang on few "
               "objects", "effective number < 30, or one object has over 10 % of the weight"),
        Column(f"{phase}_orientation_deg", "float", "°", f"mean long axis of elongated {things}, "
               "as orientation_deg",
               "axial mean of objects with aspect ratio >= 1.2 and 9 pixels or more", _MARDIA),
        Column(f"{phase}_orientation_strength", "float", "1",
               "0 no common direction, 1 all parallel", "mean resultant of doubled angles",
               _MARDIA),
        Column(f"{phase}_orientation_p", "float", "1", "p value of no common direction",
               "Rayleigh test", _MARDIA),
        Column(f"{phase}_clark_evans", "float", "1", "mean distance of nearest centroids over that "
               "of a random pattern: below 1 clustered, above regular", "", _CLARK),
        Column(f"{phase}_clark_evans_p", "float", "1", "two-sided p value of a random pattern", "",
               _CLARK),
        Column(f"{phase}_ripley_radius_um", "floats", "µm", "distances of the next column"),
        Column(f"{phase}_ripley_l_um", "floats", "µm", "Ripley's L of centroids; the distance "
               "itself for a random pattern", "sqrt(K / pi)", _RIPLEY),
        Column(f"{phase}_ripley_critical_um", "float", "µm", "a random pattern stays within this "
               "of the distance", "1.42 sqrt(A) / n", "Ripley 1979"),
        Column(f"{phase}_two_point", "floats", "1", "chance that two points at "
               f"two_point_distance_um both lie in {phase}", "", _TORQUATO),
        Column(f"{phase}_boundary_per_um", "float", "1/µm", f"boundary of {phase} per area",
               "-pi S2'(0)", _TORQUATO),
        Column(f"{phase}_variation", "floats", "1", f"spread of the {phase} fraction between "
               "windows of window_side_um over its mean", "", _KANIT),
        Column(f"{phase}_window_um", "float", "µm", "least window side with that spread under "
               "10 %; null where the field is too small", "", _KANIT),
    ]  # fmt: skip


def _describe_grading(basis: str) -> list[Column]:
    """Return the columns of graphic statistics."""
    facts = {
        "mean_phi": ("phi", "graphic mean", "(P16 + P50 + P84) / 3"),
        "sorting_phi": ("phi", "inclusive graphic standard deviation",
                        "(P84 - P16) / 4 + (P95 - P5) / 6.6"),
        "skewness": ("1", "inclusive graphic skewness", "(P16 + P84 - 2 P50) / 2 (P84 - P16) + "
                     "(P5 + P95 - 2 P50) / 2 (P95 - P5)"),
        "kurtosis": ("1", "graphic kurtosis", "(P95 - P5) / 2.44 (P75 - P25)"),
    }  # fmt: skip
    return [
        Column(f"silt_{basis}_{name}", "float", unit, f"{words} of silt ECD by {basis}", formula,
               _FOLK)
        for name, (unit, words, formula) in facts.items()
    ]  # fmt: skip


SUMMARY: tuple[Column, ...] = (
    Column("scope", "category", "", "what the row is about: image, group, comparison or pooled"),
    Column("image", "str", "", "name of the image"),
    Column("group", "str", "", "name of the group; of the first in a comparison"),
    Column("other_group", "str", "", "name of the second group of a comparison"),
    Column("images", "int", "1", "number of images"),
    Column("mask", "str", "", "path of the mask from the folder of this file"),
    Column("mask_sha256", "str", "", "SHA-256 of the mask file"),
    Column("micrograph", "str", "", "path of the micrograph from the folder of this file"),
    Column("pixel_size_nm", "float", "nm", "side of a pixel; null for images of several"),
    Column("pixel_size_source", "str", "", "where the pixel size was read"),
    Column("height_px", "int", "px", "rows of the image"),
    Column("width_px", "int", "px", "columns of the image"),
    Column("area_analysed_um2", "float", "µm²", "area of specimen", "pixels that are not VOID"),
    *_with_interval("porosity", "1", "pore area over specimen area", "A_pore / A", _BIHANI),
    *_with_interval("silt_fraction", "1", "area of silt grains larger than min_silt_um over "
                    "specimen area", "A_silt / A", _BIHANI),
    *_with_interval("clay_fraction", "1", "the rest, smaller silt regions included",
                    "1 - porosity - silt_fraction", _BIHANI),
    Column("mask_silt_fraction", "float", "1", "area of all silt in the mask over specimen area"),
    Column("mask_clay_fraction", "float", "1", "area of clay in the mask over specimen area"),
    Column("min_silt_um", "float", "µm", "silt regions up to this ECD count as clay", "", _BIHANI),
    Column("pores", "int", "1", "number of pores"),
    Column("silt_grains", "int", "1", "number of silt grains larger than min_silt_um"),
    Column("small_silt_regions", "int", "1", "number of silt regions that count as clay"),
    *_describe_sizes("pore"),
    *_describe_sizes("silt"),
    *_describe_grading("number"),
    *_describe_grading("area"),
    *_describe_objects("pore"),
    *_describe_objects("silt"),
    Column("resolvable_ecd_um", "float", "µm", "ECD of nine pixels, the least that is resolved"),
    Column("pore_area_near_limit", "float", "1", "share of pore area in pores within twice "
           "resolvable_ecd_um"),
    Column("window_side_um", "floats", "µm", "sides of the windows of the columns *_variation"),
    Column("two_point_distance_um", "floats", "µm", "distances of the columns *_two_point"),
    Column("silt_contiguity", "float", "1", "share of silt boundary that is contact with another "
           "grain: 0 matrix-supported, near 1 grain-supported", "2 N_gg / (2 N_gg + N_gm)",
           _GURLAND),
    Column("silt_contacts_per_grain", "float", "1", "mean number of grains that a grain touches, "
           "touching grains being divided at their necks"),
    Column("silt_sphere_um", "floats", "µm", "diameters of the next three columns"),
    *(
        Column(f"silt_spheres{limit}_per_um3", "floats", "1/µm³", f"{words}silt spheres per volume "
               "by diameter: a model of spheres, see its assumptions", "unfolding by Saltykov",
               _SALTYKOV)
        for limit, words in (("", ""), ("_low", "lower 95 % limit of "),
                             ("_high", "upper 95 % limit of "))
    ),
    *(
        column
        for phase in ("pore", "silt")
        for column in (
            Column(f"{phase}_ks", "float", "1", f"distance between two groups' ECD of "
                   f"{_THINGS[phase]} by number", "Kolmogorov-Smirnov"),
            Column(f"{phase}_ks_p", "float", "1", "its p value if objects were independent, "
                   "which they are not: it is too small"),
            Column(f"{phase}_wasserstein_um", "float", "µm", "how far sizes are moved on average "
                   "from one group's distribution to the other's", "Wasserstein, order 1"),
        )
    ),
    *_with_interval("porosity_difference", "1", "porosity of other_group less that of group", "",
                    _BOOTSTRAP),
    Column("warnings", "strs", "", "what to know before these figures are used, in words"),
    Column("provenance", "str", "", "how the mask was made, as JSON"),
)  # fmt: skip
