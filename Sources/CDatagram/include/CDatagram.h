#ifndef HYPERCONFORM_CDATAGRAM_H
#define HYPERCONFORM_CDATAGRAM_H
#include <stddef.h>
#include <stdint.h>

// UDP and TCP sockets as the stack needs them, without the parts of the socket API that Swift can't import (message vectors, control messages).
// Every function reports failure as an errno value; none of them closes a socket because of a failure.

/// The most datagrams that one call sends or receives.
#define HYPERCONFORM_BATCH 64

/// An IP address and port, and where the datagram's bytes lie in the caller's arena.
typedef struct {
    /// 4 or 6. A socket of both families takes both.
    uint8_t family;
    /// Sending: IP time to live, 0 for the socket's default.
    uint8_t timeToLive;
    /// In host order.
    uint16_t port;
    /// Four or sixteen octets in network order.
    uint8_t address[16];
    /// Offset of the first byte in the arena.
    uint32_t offset;
    uint32_t length;
    /// Sending: size of the segments that the kernel shall cut the bytes into, 0 for one datagram. Receiving: size of the pieces that it joined.
    uint16_t segment;
    /// Receiving: 1 if the datagram was longer than the slot and has been cut.
    uint16_t truncated;
    /// Sending: 0, or the errno with which this datagram failed.
    int32_t error;
} hyperconform_datagram;

typedef enum {
    HYPERCONFORM_RECEIVE_BUFFER,
    HYPERCONFORM_SEND_BUFFER,
    HYPERCONFORM_DONT_FRAGMENT,
    HYPERCONFORM_TIME_TO_LIVE,
    HYPERCONFORM_RECEIVE_OFFLOAD,
    HYPERCONFORM_SEND_OFFLOAD,
} hyperconform_option;

/// A non-blocking UDP socket; `family` is 4, 6, or 46 for an IPv6 socket that takes IPv4 too. Returns it, or minus an errno.
int hyperconform_udp_open(int family);
/// A non-blocking TCP socket. Returns it, or minus an errno.
int hyperconform_tcp_open(int family);
/// Binds to address and port (`family` as in `open`). Returns 0 or an errno.
int hyperconform_bind(int fd, int family, const hyperconform_datagram *local);
/// The bound address. Returns 0 or an errno.
int hyperconform_local(int fd, hyperconform_datagram *local);
/// The other side's address (TCP). Returns 0 or an errno.
int hyperconform_remote(int fd, hyperconform_datagram *remote);
/// Returns 0 or an errno. SEND_OFFLOAD only asks whether the kernel has segmentation offload.
int hyperconform_set(int fd, int family, hyperconform_option option, int value);
/// Sends up to HYPERCONFORM_BATCH datagrams. A failed one has its `error` set and does not stop the others.
/// Returns how many were dealt with: fewer than `count` means that the socket's buffer is full.
int hyperconform_send(int fd, int family, const uint8_t *arena, hyperconform_datagram *datagrams, int count);
/// Receives up to HYPERCONFORM_BATCH datagrams into slots of `slot` bytes, the first at arena + 0.
/// Returns how many there are (0: none waiting), or minus an errno. `dropped` is the kernel's count of datagrams that it had no room for.
int hyperconform_receive(int fd, uint8_t *arena, uint32_t slot, hyperconform_datagram *datagrams, int count, uint32_t *dropped);

/// TCP. Returns 0 (also while the connection is being made) or an errno.
int hyperconform_tcp_connect(int fd, int family, const hyperconform_datagram *remote);
int hyperconform_tcp_listen(int fd);
/// The next connection, or minus an errno (EAGAIN: none).
int hyperconform_tcp_accept(int fd);
/// What became of a connection attempt: 0 or an errno.
int hyperconform_tcp_error(int fd);
/// Bytes sent or minus an errno; never raises SIGPIPE.
long hyperconform_tcp_send(int fd, const uint8_t *bytes, size_t count);
/// Tells the other side that no more bytes follow.
int hyperconform_tcp_end(int fd);

/// Readiness of many sockets, a timer and a waker, for one thread.
typedef struct {
    int poller;
    int timer;
    int waker;
    /// What the timer is set to.
    int64_t deadline;
} hyperconform_poller;

#define HYPERCONFORM_READABLE 1
#define HYPERCONFORM_WRITABLE 2

typedef struct {
    int fd;
    /// HYPERCONFORM_READABLE, HYPERCONFORM_WRITABLE or both; an error or hang-up counts as both.
    int ready;
} hyperconform_readiness;

/// Returns 0 or an errno.
int hyperconform_poller_open(hyperconform_poller *poller);
void hyperconform_poller_close(hyperconform_poller *poller);
/// Changes what is waited for on a socket; interest 0 forgets it. Returns 0 or an errno.
int hyperconform_poller_watch(hyperconform_poller *poller, int fd, int before, int interest);
/// Sleeps until a socket is ready, somebody wakes it, or the clock reaches `deadline` (microseconds; INT64_MAX: never).
/// Returns how many entries of `ready` are filled, or minus an errno.
int hyperconform_poller_wait(hyperconform_poller *poller, hyperconform_readiness *ready, int count, int64_t deadline);
/// From any thread.
void hyperconform_poller_wake(const hyperconform_poller *poller);
/// Microseconds of the monotonic clock.
int64_t hyperconform_monotonic(void);
/// Microseconds since 1970.
int64_t hyperconform_wall(void);
#endif
