/* num.h - small numerics that several modules need. */
#ifndef SILR_BASE_NUM_H
#define SILR_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SILR_NO_LABEL (INT32_MIN) /* abstained, or not known; not a class, and not -1 */

double silr_sigmoid(double z);     /* no overflow for any finite z */
double silr_log1pexp(double z);    /* log(1 + exp z) */
double silr_logit(double p);       /* clipped to [1e-12, 1 - 1e-12] first */
double silr_logsumexp(const double *v, size_t n);
void silr_softmax(double *out, const double *z, size_t n);

/* Quantile q (0..1) with linear interpolation between order statistics; `sorted` ascending. */
double silr_quantile_sorted(const double *sorted, size_t n, double q);
void silr_sort_doubles(double *v, size_t n);
/* Indices that sort v ascending, ties by index: out[n]. false: no memory. */
bool silr_argsort(uint32_t *out, const double *v, size_t n);

double silr_beta_cdf(double a, double b, double x);      /* regularised incomplete beta */
double silr_beta_quantile(double a, double b, double p);
double silr_normal_quantile(double p);

/* Strings: whole string must be the number; false otherwise. Locale-free. */
bool silr_parse_double(const char *s, double *out);
bool silr_parse_i64(const char *s, int64_t *out);

/* Edit distance (insert, delete, replace, swap), for "did you mean". */
size_t silr_edit_distance(const char *a, const char *b);

double silr_now(void);               /* seconds, monotonic */
uint64_t silr_peak_memory(void);     /* bytes, of this process so far */
int silr_threads(int wanted);        /* wanted > 0: itself; else the CPUs we may run on, or: */
void silr_threads_limit(int most);   /* where other ranks share them; 0: no limit again */

#endif
