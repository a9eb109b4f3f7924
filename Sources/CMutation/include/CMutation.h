#ifndef HYPERCONFORM_CMUTATION_H
#define HYPERCONFORM_CMUTATION_H
#include <stdint.h>

/// How many threads have a mutation planted. Nearly always 0: then a mutation point costs one load.
extern uint32_t hyperconform_mutations_planted;

/// The mutation that is active on this thread; 0 means none.
uint32_t hyperconform_mutation_of_thread(void);
void hyperconform_mutation_set(uint32_t code);
/// For the whole of a process, once and for good: a peer that lies.
void hyperconform_mutation_set_everywhere(uint32_t code);

static inline uint32_t hyperconform_mutation_get(void) {
    if (__builtin_expect(__atomic_load_n(&hyperconform_mutations_planted, __ATOMIC_RELAXED) == 0, 1)) return 0;
    return hyperconform_mutation_of_thread();
}
#endif
