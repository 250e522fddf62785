/* priors.c - silr priors: how pure the annotator's sets are, and whether refining is worth it. */
#include "cli/cli.h"
#include "cli/standing.h"
#include <stdio.h>
#include <string.h>

static const char *const verdicts[] = {"go", "warn", "refuse", "swap"};

static void print_priors(const silr_task *task, const silr_priors *p, size_t sample,
                         silr_verdict verdict, const char *advice)
{
    int K = p->K;

    printf("labelled sample: %zu texts%s\n", sample, p->known ? " (theta is given, not estimated)" : "");
    printf("%-20s %8s  %-28s %s\n", "set (the annotator's)", "share", "right: P(true = set)",
           "class share pi");
    for (int k = 0; k < K; k++)
        printf("%-20.20s %8.3f  %.3f (%.3f to %.3f)%8s %.3f (%.3f to %.3f)\n", task->classes[k],
               p->rho[k], p->theta[k * K + k], p->theta_low[k], p->theta_high[k], "", p->pi[k],
               p->pi_low[k], p->pi_high[k]);
    if (K == 2)
        printf("theta_p %.3f, theta_n %.3f, D = theta_p - theta_n = %.3f\n", p->theta[0],
               p->theta[2], p->theta[0] - p->theta[2]);
    printf("P(D > 0) = %.3f, P(D > 0.05) = %.3f\n", p->p_d_positive, p->p_d_margin);
    printf("verdict: %s%s%s\n", verdicts[verdict], advice[0] ? " - " : "", advice);
}

static void json_numbers(silr_buf *b, const char *name, const double *v, int n)
{
    silr_buf_printf(b, ",\"%s\":[", name);
    for (int i = 0; i < n; i++) {
        if (i > 0)
            silr_buf_putc(b, ',');
        silr_buf_number(b, v[i], 9);
    }
    silr_buf_putc(b, ']');
}

void cli_json_priors(silr_buf *b, const silr_task *task, const silr_priors *p)
{
    int K = p->K;

    silr_buf_puts(b, ",\"classes\":[");
    for (int k = 0; k < K; k++) {
        if (k > 0)
            silr_buf_putc(b, ',');
        silr_buf_json(b, task->classes[k], strlen(task->classes[k]));
    }
    silr_buf_putc(b, ']');
    json_numbers(b, "theta", p->theta, K * K);
    json_numbers(b, "theta_low", p->theta_low, K);
    json_numbers(b, "theta_high", p->theta_high, K);
    json_numbers(b, "rho", p->rho, K);
    json_numbers(b, "pi", p->pi, K);
    json_numbers(b, "pi_low", p->pi_low, K);
    json_numbers(b, "pi_high", p->pi_high, K);
    silr_buf_puts(b, ",\"p_d_positive\":");
    silr_buf_number(b, p->p_d_positive, 9);
    silr_buf_puts(b, ",\"p_d_margin\":");
    silr_buf_number(b, p->p_d_margin, 9);
}

static void print_json(const silr_task *task, const silr_priors *p, size_t sample,
                       silr_verdict verdict, const char *advice)
{
    silr_buf b = {0};

    silr_buf_printf(&b, "{\"labelled\":%zu,\"known\":%s", sample, p->known ? "true" : "false");
    cli_json_priors(&b, task, p);
    silr_buf_printf(&b, ",\"verdict\":\"%s\",\"advice\":", verdicts[verdict]);
    silr_buf_json(&b, advice, strlen(advice));
    silr_buf_puts(&b, "}\n");
    if (!b.failed)
        fwrite(b.data, 1, b.len, stdout);
    silr_buf_clear(&b);
}

static silr_status work(silr_session *s, const cli_args *a, silr_verdict *verdict, silr_error *err)
{
    silr_priors *p = silr_calloc(1, sizeof *p);
    silr_buf advice = {0};
    silr_status st;

    if (!p)
        return silr_fail_memory(err);
    if ((st = silr_session_annotate(s, err)) == SILR_OK &&
        (st = silr_session_sample(s, err)) == SILR_OK &&
        (st = silr_session_priors(s, p, err)) == SILR_OK) {
        *verdict = silr_priors_verdict(p, s->task->refine.recipe, &advice);
        cli_terminal_clear();
        (a->json ? print_json : print_priors)(s->task, p, s->sample.n, *verdict,
                                              advice.len ? advice.data : "");
    }
    silr_buf_clear(&advice);
    silr_free(p);
    return st;
}

static int priors(const cli_args *a)
{
    silr_task *task = NULL;
    silr_session s = {0};
    silr_error err = {0};
    silr_verdict verdict = SILR_VERDICT_GO;
    silr_status st;
    char *dir = NULL;
    int code;

    if ((st = cli_task(&task, a, &err)) != SILR_OK)
        return cli_complain(st, &err);
    cli_signals_start();
    if (!cli_look_dir(&dir, a, task))
        st = silr_fail_memory(&err);
    else if ((st = silr_session_open(&s, task, dir, &err)) == SILR_OK)
        st = work(&s, a, &verdict, &err);
    code = cli_end("priors", a, st, &err);
    if (code == CLI_DONE && verdict == SILR_VERDICT_REFUSE && !a->force) {
        fprintf(stderr, "silr: the labels tell too little; `silr run` would refuse (--force overrides)\n");
        code = CLI_REFUSED;
    }
    silr_session_close(&s);
    silr_free(dir);
    silr_task_free(task);
    return code;
}

const cli_command cli_priors = {
    .name = "priors", .operands = "TASK", .summary = "theta, pi and their intervals; is refining worth it?",
    .examples = {{"silr priors task.yaml", "how right the first labels are, class by class"},
                 {"silr priors task.yaml --set labelled.count=100", "with a larger sample"},
                 {"silr priors task.yaml --json", "the same as JSON"}},
    .about = "theta is P(true class | the annotator's label), pi the classes' shares; D = theta_p - theta_n\n"
             "is what refining lives on. Exit 8 where the labels tell too little.",
    .options = CLI_OPT_OUT | CLI_OPT_SET | CLI_OPT_JSON | CLI_OPT_FORCE,
    .min_args = 1, .max_args = 1, .run = priors,
};
