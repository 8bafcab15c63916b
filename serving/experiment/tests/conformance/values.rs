//! Methods on the values themselves.

use plaudit_experiment::stats::{self, ConjugateMixture, EmpiricalBernstein, HedgedBetting};

use super::harness::{Case, Check, counts, floats};

/// What this area checks.
pub(crate) const CHECKS: &[Check] = &[
    Check { file: "bounded_cs", case: bounded },
    Check { file: "nonparametric", case: nonparametric },
    Check { file: "quantile_ab", case: quantile },
];

fn bounded(case: &mut Case) {
    let (values, alpha) = (floats(&case.inp["x"]), case.number("alpha"));
    let looks = counts(&case.inp["report_at"]);
    let mut bernstein = EmpiricalBernstein::new(alpha);
    let mut hedged = HedgedBetting::new(alpha, 1000);
    let mut mixture = ConjugateMixture::default();
    let mut look = 0;
    for (index, x) in values.iter().enumerate() {
        bernstein.observe(*x);
        hedged.observe(*x);
        mixture.observe(*x);
        if looks.get(look) == Some(&(index as u64 + 1)) {
            let out = case.out;
            case.interval("bernstein", bernstein.interval(), &out["predmix_empbern"][look]);
            case.interval("hedged", hedged.interval(), &out["hedged_betting_grid1000"][look]);
            let hoeffding = mixture.hoeffding(alpha, 60.0);
            case.interval("hoeffding", hoeffding, &out["conjmix_hoeffding_topt60"][look]);
            // The reference halves its level twice.
            let conjugate = mixture.empirical_bernstein(alpha / 2.0, 10.0);
            case.interval("conjugate", conjugate, &out["conjmix_empbern_vopt10"][look]);
            look += 1;
        }
    }
}

fn nonparametric(case: &mut Case) {
    let got = stats::rank_tests(&floats(&case.inp["treatment"]), &floats(&case.inp["control"])).expect("values");
    let out = case.out;
    case.near("U", got.u, &out["U"]);
    case.near("p", got.p_mann_whitney, &out["p_mw"]);
    case.near("shift", got.hodges_lehmann, &out["hodges_lehmann"]);
    case.near("cles", got.cles, &out["cles"]);
    case.near("KS", got.ks, &out["ks"]);
    case.near("p of KS", got.p_ks, &out["p_ks_exact_or_auto"]);
    case.near("asymptotic p of KS", got.p_ks_asymptotic, &out["p_ks_asymp"]);
    case.near("Wasserstein", got.wasserstein, &out["wasserstein"]);
    case.near("energy", got.energy, &out["energy"]);
}

fn quantile(case: &mut Case) {
    let (a, b) = (floats(&case.inp["a"]), floats(&case.inp["b"]));
    let got = stats::quantile_p([&a, &b], case.number("p"), case.number("t_opt"), case.number("alpha_opt"));
    case.near("p", got, &case.out["p_value"]);
}
