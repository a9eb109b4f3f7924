#include "CMutation.h"

uint32_t hyperconform_mutations_planted = 0;
static _Thread_local uint32_t active = 0;

uint32_t hyperconform_mutation_of_thread(void) { return active; }

void hyperconform_mutation_set(uint32_t code) {
    if (active == 0 && code != 0) __atomic_fetch_add(&hyperconform_mutations_planted, 1, __ATOMIC_RELAXED);
    if (active != 0 && code == 0) __atomic_fetch_sub(&hyperconform_mutations_planted, 1, __ATOMIC_RELAXED);
    active = code;
}
