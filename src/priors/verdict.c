/* verdict.c - whether refining is worth it, and what would help if it is not.
 *
 * Everything divides by D = theta_p - theta_n (for K classes: posterior.c's signal). Where it may
 * well be 0 the result is noise.
 *
 *     recipe silr    refuse when P(D > 0) < 0.6; warn when P(D > 0.05) < 0.9. Its margin keeps the
 *                    labels safe, and a stricter rule costs more than it saves (method.md B12)
 *     recipe paper   swap the two labels when P(D < 0) >= 0.95; else refuse when P(D > 0.05) < 0.9
 *
 * The advice says how many labels would settle it. With n labels the posterior's sd of D is about
 * sd_1 / sqrt(n), and P(D > 0.05) reaches 0.9 when (D - 0.05) is 1.28 sd: so n grows by the square
 * of the ratio between the sd there is and the sd it takes. */
#include "priors/inside.h"
#include <math.h>

static void advise_more(const silr_priors *p, double signal, silr_buf *advice)
{
    double have = 0, sd = silr_priors_signal_sd(p), need = (signal - 0.05) / 1.2816, total;

    for (int j = 0; j < p->K; j++)
        have += p->n_eff[j];
    if (!(need > 0)) {
        silr_buf_puts(advice, "more labelled texts alone are unlikely to settle it: first improve "
                              "the annotator (a clearer prompt or rules, a better model)");
        return;
    }
    total = ceil(fmax(have, 10) * (sd / need) * (sd / need) / 10) * 10;
    if (total > 2000)
        silr_buf_puts(advice, "to settle it would take thousands of labelled texts: better improve "
                              "the annotator (a clearer prompt or rules, a better model)");
    else
        silr_buf_printf(advice, "about %.0f more labelled texts would settle it, if the labels are "
                                "as good as they look; a better prompt or better rules help too",
                        fmax(total - have, 10));
}

static void advise(const silr_priors *p, silr_verdict verdict, silr_buf *advice)
{
    double signal = silr_priors_signal(p->K, p->theta, p->rho);
    const char *name = p->K == 2 ? "theta_p - theta_n" : "informedness";

    if (!advice || verdict == SILR_VERDICT_GO)
        return;
    if (verdict == SILR_VERDICT_SWAP) {
        silr_buf_printf(advice, "the labels point the wrong way (%s is %.2f): texts labelled with "
                                "the first class are less often of it than the others, so the two "
                                "labels are swapped", name, signal);
        return;
    }
    if (p->known) {
        silr_buf_printf(advice, "with the theta given the labels tell too little (%s is %.2f); "
                                "check labelled.theta, or improve the annotator", name, signal);
        return;
    }
    silr_buf_printf(advice, "the labelled texts %s that the annotator's labels carry signal (%s is "
                            "%.2f; above 0 with probability %.2f, above 0.05 with %.2f); ",
                    verdict == SILR_VERDICT_WARN ? "leave it open" : "do not show", name, signal,
                    p->p_d_positive, p->p_d_margin);
    advise_more(p, signal, advice);
}

silr_verdict silr_priors_verdict(const silr_priors *p, silr_recipe recipe, silr_buf *advice)
{
    silr_verdict v = SILR_VERDICT_GO;

    if (recipe == SILR_RECIPE_PAPER) {
        bool backwards = p->K == 2 && p->theta[0] < p->theta[2] && 1 - p->p_d_positive >= 0.95;
        v = backwards ? SILR_VERDICT_SWAP : p->p_d_margin < 0.9 ? SILR_VERDICT_REFUSE : v;
    } else if (p->p_d_positive < 0.6) {
        v = SILR_VERDICT_REFUSE;
    } else if (p->p_d_margin < 0.9) {
        v = SILR_VERDICT_WARN;
    }
    advise(p, v, advice);
    return v;
}
