/* body_functions.h - exp, tanh and their kin, a vector at a time. Part of body.h.
 *
 * Coefficients: least largest relative error, fitted in double. Errors are of float results, in
 * units of the last place (tests/engine/test_ops.c measures them). */

#define HORNER(p, x, c) ((p) = FMA(p, x, SET1(c)))

/* exp(x) = 2^n exp(r), r = x - n ln 2 in two parts, |r| <= ln(2)/2, exp(r) = 1 + r + r^2 p(r).
 * Below -87, where floats end: 0. Above 88: exp(88). */
INLINE vec exp_of(vec x)
{
    vec z = MIN(SET1(88.0F), MAX(SET1(-87.0F), x)), n, r, p;
    const vec magic = SET1(0x1.8p23F); /* adding it leaves the nearest integer in the low bits */
    veci power;

    n = FMA(z, SET1(1.44269504F), magic);
    power = ((veci)n - (veci)magic + 127) << 23;
    n -= magic;
    r = FMA(n, SET1(-0.693359375F), z);
    r = FMA(n, SET1(2.12194440e-4F), r);
    p = SET1(1.3901284641e-3F);
    HORNER(p, r, 8.3631449219e-3F);
    HORNER(p, r, 4.16668534301e-2F);
    HORNER(p, r, 1.666657729273e-1F);
    HORNER(p, r, 4.9999999552615e-1F);
    p = FMA(p, r * r, r) + SET1(1.0F);
    p *= (vec)power;
    return pick(x < SET1(-87.0F), SET1(0.0F), p);
}

INLINE vec magnitude(vec x)
{
    return (vec)((veci)x & 0x7fffffff);
}

INLINE vec with_sign_of(vec value, vec sign)
{
    return (vec)((veci)value | ((veci)sign & (veci)SET1(-0.0F)));
}

/* tanh(x) = x + x^3 p(x^2) for |x| < 0.625, else 1 - 2 / (exp(2x) + 1), odd. */
INLINE vec tanh_of(vec x)
{
    vec z = magnitude(x), s = x * x, p, far;

    p = SET1(2.290145794e-3F);
    HORNER(p, s, -8.341133322e-3F);
    HORNER(p, s, 2.1767809934e-2F);
    HORNER(p, s, -5.3959067751e-2F);
    HORNER(p, s, 1.33333021952e-1F);
    HORNER(p, s, -3.33333331448e-1F);
    far = SET1(1.0F) - SET1(2.0F) / (exp_of(z + z) + SET1(1.0F));
    return pick(z < SET1(0.625F), FMA(p * s, x, x), with_sign_of(far, x));
}

/* P(X < x), X normal; *e = exp(-x^2 / 2). With z = |x| / sqrt 2, P(X < -|x|) = erfc(z) / 2, and
 * erfc(z) = exp(-x^2 / 2) p(t), t = 1 / (1 + 0.4 z). What is rounded off x^2 / 2 is put back (where
 * there is a true FMA): a small error in a large exponent is a large one in exp. */
INLINE vec normal_below(vec x, vec *e)
{
    vec a = MIN(SET1(20.0F), magnitude(x)), half = SET1(0.5F) * a, square = half * a;
    vec t = SET1(1.0F) / FMA(SET1(0.28284271F), a, SET1(1.0F));
    vec lost = FMA(half, a, -square), p;

    *e = exp_of(-square);
    *e = FMA(-lost, *e, *e);
    p = SET1(-3.867224752e-2F);
    HORNER(p, t, 2.5027749801e-1F);
    HORNER(p, t, -6.30606899625e-1F);
    HORNER(p, t, 7.38780069367e-1F);
    HORNER(p, t, -4.61160983182e-1F);
    HORNER(p, t, 3.80499692088e-1F);
    HORNER(p, t, 8.5042210706e-2F);
    HORNER(p, t, 2.27080945258e-1F);
    HORNER(p, t, 2.22855135609e-1F);
    HORNER(p, t, 2.25913400823e-1F);
    HORNER(p, t, -8.81985036e-6F);
    p = SET1(0.5F) * *e * p;
    return pick(x < SET1(0.0F), p, SET1(1.0F) - p);
}

/* x P(X < x) */
INLINE vec gelu(vec x)
{
    vec e;

    return x * normal_below(x, &e);
}

/* x / (1 + exp(-x)) */
INLINE vec silu(vec x)
{
    return x / (SET1(1.0F) + exp_of(-x));
}

/* x (1 + tanh u) / 2 = x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3) */
INLINE vec gelu_tanh(vec x)
{
    vec u = x * FMA(x * x, SET1(0.0356774081F), SET1(0.79788456F));

    return x / (SET1(1.0F) + exp_of(SET1(-2.0F) * u));
}

/* --- their slopes: f(x), and f'(x) in *df ------------------------------------------------------------
 *
 * Far from 0 the slope is 0 or 1, which it is already where x is held here: infinity times 0 is kept
 * out, and what is no number stays none. s is the logistic function, 1 - s = e s does not cancel. */

INLINE vec held(vec x, float most)
{
    return MIN(SET1(most), MAX(SET1(-most), x));
}

INLINE vec silu_slope(vec x, vec *df)
{
    vec z = held(x, 80.0F), e = exp_of(-z), s = SET1(1.0F) / (SET1(1.0F) + e);

    *df = FMA(z * s, e * s, s);
    return pick(x < SET1(-80.0F), SET1(0.0F), x * s);
}

INLINE vec gelu_slope(vec x, vec *df)
{
    vec z = held(x, 20.0F), e, below = normal_below(z, &e);

    *df = FMA(z * SET1(0.398942280F), e, below);
    return pick(x < SET1(-20.0F), SET1(0.0F), x * below);
}

INLINE vec gelu_tanh_slope(vec x, vec *df)
{
    vec z = held(x, 10.0F), square = z * z;
    vec u = z * FMA(square, SET1(0.0356774081F), SET1(0.79788456F));
    vec e = exp_of(SET1(-2.0F) * u), s = SET1(1.0F) / (SET1(1.0F) + e);
    vec dv = FMA(square, SET1(0.2140644488F), SET1(1.59576912F)); /* of 2u */

    *df = FMA(z * s, e * s * dv, s);
    return pick(x < SET1(-10.0F), SET1(0.0F), x * s);
}
