#ifndef HYPERCONFORM_CPCAP_SHIM_H
#define HYPERCONFORM_CPCAP_SHIM_H
#include <pcap/pcap.h>
#endif
