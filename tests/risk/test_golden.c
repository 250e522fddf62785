/* test_golden.c - values and gradients of the two-class risks as torch gave them. */
#include "help.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX = 64 };
typedef struct {
    const char *kind;
    int n;
    double pi, theta_p, theta_n, lambda;
    double scores[MAX];
    int labels[MAX]; /* +1, -1 */
    double value[3]; /* pn, uu, robust uu */
    double grad[3][MAX];
} golden_case;
#include "golden_cases.h"
/* Doubles to 1e-12 relative (the recorded slopes l (1 - l) lose what is below 1e-16), floats to
 * 1e-6 of the largest coefficient. */
static void check_golden(const golden_case *c)
{
    double grad[MAX], abcd[4], top = 1;
    float z[MAX], dz[MAX];
    int set[MAX];

    silr_risk_coefficients(c->theta_p, c->theta_n, c->pi, abcd);
    for (int i = 0; i < 4; i++)
        top = fmax(top, abcd[i]);
    for (int i = 0; i < c->n; i++) {
        z[i] = (float)c->scores[i];
        set[i] = c->labels[i] > 0 ? 0 : 1;
    }
    for (int k = 0; k < 3; k++) {
        silr_risk r;
        double v;

        make_two(&r, kinds[k], SILR_LOSS_SIGMOID, c->theta_p, c->theta_n, c->pi, c->lambda);
        v = silr_risk_value(&r, (size_t)c->n, c->scores, set, NULL, grad);
        near(v, c->value[k], 1e-12 * fmax(fabs(c->value[k]), 1e-3), c->kind);
        for (int i = 0; i < c->n; i++)
            near(grad[i], c->grad[k][i], 1e-12 * fabs(c->grad[k][i]) + 1e-16 * top, c->kind);
        v = fast(&r, NULL, (size_t)c->n, z, 1, set, NULL, dz);
        near(v, c->value[k], 1e-6 * top, c->kind);
        for (int i = 0; i < c->n; i++)
            near((double)dz[i], c->grad[k][i], 1e-6 * top, c->kind);
    }
}

static void recorded_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden_cases / sizeof *golden_cases; i++)
        check_golden(&golden_cases[i]);
}

static void read_case(golden_case *c, const json_t *j)
{
    static const char *const names[3] = {"pn", "uu", "ruu"};
    const json_t *scores = json_object_get(j, "scores"), *labels = json_object_get(j, "labels");

    memset(c, 0, sizeof *c);
    c->kind = json_string_value(json_object_get(j, "kind"));
    c->n = (int)json_array_size(scores);
    assert_true(c->n <= MAX);
    c->pi = json_number_value(json_object_get(j, "pi"));
    c->theta_p = json_number_value(json_object_get(j, "theta_p"));
    c->theta_n = json_number_value(json_object_get(j, "theta_n"));
    c->lambda = json_number_value(json_object_get(j, "lam"));
    for (int i = 0; i < c->n; i++) {
        c->scores[i] = json_number_value(json_array_get(scores, (size_t)i));
        c->labels[i] = (int)json_integer_value(json_array_get(labels, (size_t)i));
    }
    for (int k = 0; k < 3; k++) {
        const json_t *one = json_object_get(j, names[k]);
        c->value[k] = json_number_value(json_object_get(one, "value"));
        for (int i = 0; i < c->n; i++)
            c->grad[k][i] =
                json_number_value(json_array_get(json_object_get(one, "grad"), (size_t)i));
    }
}

/* All 72 recorded cases, where the shared files are at hand. */
static void recorded_file(void **state)
{
    char path[4096];
    const char *shared = getenv("SILR_SHARED");
    const json_t *cases;
    json_t *root;
    (void)state;

    snprintf(path, sizeof path, "%s/golden/risk.json", shared ? shared : SOURCE_ROOT "/../shared");
    root = json_load_file(path, 0, NULL);
    if (!root) {
        print_message("skipped: no recorded vectors at %s\n", path);
        skip();
    }
    cases = json_object_get(root, "cases");
    assert_true(json_array_size(cases) >= 72);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        golden_case c;
        read_case(&c, json_array_get(cases, i));
        check_golden(&c);
    }
    json_decref(root);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_cases),
        cmocka_unit_test(recorded_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
