/* cpu.c - the fast operations for this machine. What it lacks is the plain one. */
#include "engine/ops_inside.h"

const silr_ops *silr_ops_cpu(void)
{
    return &silr_ops_plain;
}

const char *silr_ops_cpu_describe(void)
{
    return "plain C";
}
