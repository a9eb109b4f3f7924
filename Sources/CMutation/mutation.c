#include "CMutation.h"

uint32_t hyperconform_mutations_planted = 0;
static _Thread_local uint32_t active = 0;

static uint32_t everywhere = 0;

uint32_t hyperconform_mutation_of_thread(void) { return active != 0 ? active : __atomic_load_n(&everywhere, __ATOMIC_RELAXED); }

void hyperconform_mutation_set_everywhere(uint32_t code) {
    __atomic_store_n(&everywhere, code, __ATOMIC_RELAXED);
    if (code != 0) __atomic_fetch_add(&hyperconform_mutations_planted, 1, __ATOMIC_RELAXED);
}

void hyperconform_mutation_set(uint32_t code) {
    if (active == 0 && code != 0) __atomic_fetch_add(&hyperconform_mutations_planted, 1, __ATOMIC_RELAXED);
    if (active != 0 && code == 0) __atomic_fetch_sub(&hyperconform_mutations_planted, 1, __ATOMIC_RELAXED);
    active = code;
}
