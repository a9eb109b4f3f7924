#define _GNU_SOURCE
#include "CDatagram.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef __linux__
#include <netinet/udp.h>
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#endif

static socklen_t to_sockaddr(int family, const hyperconform_datagram *from, struct sockaddr_storage *to) {
    memset(to, 0, sizeof *to);
    if (family == 4) {
        struct sockaddr_in *four = (struct sockaddr_in *)to;
        four->sin_family = AF_INET;
        four->sin_port = htons(from->port);
        memcpy(&four->sin_addr, from->address, 4);
        return sizeof *four;
    }
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(from->port);
    if (from->family == 4) {
        uint8_t *octets = six->sin6_addr.s6_addr;
        octets[10] = octets[11] = 0xff;
        memcpy(octets + 12, from->address, 4);
    } else {
        memcpy(&six->sin6_addr, from->address, 16);
    }
    return sizeof *six;
}

static void from_sockaddr(const struct sockaddr_storage *from, hyperconform_datagram *to) {
    memset(to->address, 0, sizeof to->address);
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)from;
        to->family = 4;
        to->port = ntohs(four->sin_port);
        memcpy(to->address, &four->sin_addr, 4);
        return;
    }
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
    to->port = ntohs(six->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        to->family = 4;
        memcpy(to->address, six->sin6_addr.s6_addr + 12, 4);
    } else {
        to->family = 6;
        memcpy(to->address, &six->sin6_addr, 16);
    }
}

static int make(int family, int type) {
    int fd = socket(family == 4 ? AF_INET : AF_INET6, type, 0);
    if (fd < 0) return -errno;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    if (family != 4) {
        int only = family == 6;
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    }
    return fd;
}

int hyperconform_udp_open(int family) {
    int fd = make(family, SOCK_DGRAM);
#ifdef __linux__
    int on = 1;
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
#endif
    return fd;
}

int hyperconform_tcp_open(int family) {
    int fd = make(family, SOCK_STREAM);
    int on = 1;
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    return fd;
}

int hyperconform_bind(int fd, int family, const hyperconform_datagram *local) {
    struct sockaddr_storage address;
    socklen_t length = to_sockaddr(family, local, &address);
    return bind(fd, (struct sockaddr *)&address, length) < 0 ? errno : 0;
}

int hyperconform_local(int fd, hyperconform_datagram *local) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0) return errno;
    from_sockaddr(&address, local);
    return 0;
}

int hyperconform_remote(int fd, hyperconform_datagram *remote) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getpeername(fd, (struct sockaddr *)&address, &length) < 0) return errno;
    from_sockaddr(&address, remote);
    return 0;
}

int hyperconform_set(int fd, int family, hyperconform_option option, int value) {
    int result = 0;
    switch (option) {
    case HYPERCONFORM_RECEIVE_BUFFER: result = setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof value); break;
    case HYPERCONFORM_SEND_BUFFER: result = setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof value); break;
    case HYPERCONFORM_TIME_TO_LIVE:
        if (family != 4) result = setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &value, sizeof value);
        if (result == 0 && family != 6) result = setsockopt(fd, IPPROTO_IP, IP_TTL, &value, sizeof value);
        break;
#ifdef __linux__
    case HYPERCONFORM_DONT_FRAGMENT: {
        // PROBE sets the bit and ignores what the kernel believes about the path; DONT lets routers fragment.
        int mode = value ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT;
        if (family != 4) result = setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &mode, sizeof mode);
        if (result == 0 && family != 6) result = setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &mode, sizeof mode);
        break;
    }
    case HYPERCONFORM_RECEIVE_OFFLOAD: result = setsockopt(fd, IPPROTO_UDP, UDP_GRO, &value, sizeof value); break;
    case HYPERCONFORM_SEND_OFFLOAD: {
        int current = 0;
        socklen_t length = sizeof current;
        result = getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &current, &length);
        break;
    }
#else
    default: errno = ENOTSUP; result = -1;
#endif
    }
    return result < 0 ? errno : 0;
}

// Room for a TTL and a segment size, aligned as control messages must be.
typedef union {
    struct cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(int)) * 3];
} control_t;

static void add_control(struct msghdr *message, int level, int type, const void *value, size_t length) {
    struct cmsghdr *control = (struct cmsghdr *)((uint8_t *)message->msg_control + message->msg_controllen);
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(control), value, length);
    message->msg_controllen += CMSG_SPACE(length);
}

static void fill(struct msghdr *message, int family, const uint8_t *arena, const hyperconform_datagram *datagram,
                 struct sockaddr_storage *address, struct iovec *vector, control_t *control) {
    memset(message, 0, sizeof *message);
    message->msg_name = address;
    message->msg_namelen = to_sockaddr(family, datagram, address);
    vector->iov_base = (void *)(arena + datagram->offset);
    vector->iov_len = datagram->length;
    message->msg_iov = vector;
    message->msg_iovlen = 1;
    memset(control, 0, sizeof *control);
    message->msg_control = control;
    if (datagram->timeToLive) {
        int ttl = datagram->timeToLive;
        if (datagram->family == 4) add_control(message, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl);
        else add_control(message, IPPROTO_IPV6, IPV6_HOPLIMIT, &ttl, sizeof ttl);
    }
#ifdef __linux__
    if (datagram->segment) add_control(message, IPPROTO_UDP, UDP_SEGMENT, &datagram->segment, sizeof datagram->segment);
#endif
    if (message->msg_controllen == 0) message->msg_control = NULL;
}

static int would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

int hyperconform_send(int fd, int family, const uint8_t *arena, hyperconform_datagram *datagrams, int count) {
    struct sockaddr_storage addresses[HYPERCONFORM_BATCH];
    struct iovec vectors[HYPERCONFORM_BATCH];
    control_t controls[HYPERCONFORM_BATCH];
    if (count > HYPERCONFORM_BATCH) count = HYPERCONFORM_BATCH;
#ifdef __linux__
    struct mmsghdr messages[HYPERCONFORM_BATCH];
    for (int i = 0; i < count; i++) {
        fill(&messages[i].msg_hdr, family, arena, &datagrams[i], &addresses[i], &vectors[i], &controls[i]);
        messages[i].msg_len = 0;
        datagrams[i].error = 0;
    }
    int done = 0;
    while (done < count) {
        int sent = sendmmsg(fd, messages + done, count - done, 0);
        if (sent > 0) {
            done += sent;
            continue;
        }
        int error = sent < 0 ? errno : EAGAIN;
        if (error == EINTR) continue;
        if (would_block(error)) break;
        datagrams[done++].error = error;
    }
    return done;
#else
    int done = 0;
    for (; done < count; done++) {
        struct msghdr message;
        fill(&message, family, arena, &datagrams[done], &addresses[0], &vectors[0], &controls[0]);
        datagrams[done].error = 0;
        if (sendmsg(fd, &message, 0) >= 0) continue;
        if (would_block(errno)) break;
        datagrams[done].error = errno;
    }
    return done;
#endif
}

static void take(struct msghdr *message, uint32_t received, uint32_t slot, uint32_t at, hyperconform_datagram *datagram, uint32_t *dropped) {
    from_sockaddr((const struct sockaddr_storage *)message->msg_name, datagram);
    datagram->timeToLive = 0;
    datagram->offset = at;
    datagram->length = received < slot ? received : slot;
    datagram->segment = 0;
    datagram->truncated = (message->msg_flags & MSG_TRUNC) != 0;
    datagram->error = 0;
#ifdef __linux__
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO) {
            int size = 0;
            memcpy(&size, CMSG_DATA(control), sizeof size);
            datagram->segment = (uint16_t)size;
        } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL) {
            memcpy(dropped, CMSG_DATA(control), sizeof *dropped);
        }
    }
#else
    (void)dropped;
#endif
}

int hyperconform_receive(int fd, uint8_t *arena, uint32_t slot, hyperconform_datagram *datagrams, int count, uint32_t *dropped) {
    struct sockaddr_storage addresses[HYPERCONFORM_BATCH];
    struct iovec vectors[HYPERCONFORM_BATCH];
    control_t controls[HYPERCONFORM_BATCH];
    if (count > HYPERCONFORM_BATCH) count = HYPERCONFORM_BATCH;
#ifdef __linux__
    struct mmsghdr messages[HYPERCONFORM_BATCH];
    for (int i = 0; i < count; i++) {
        vectors[i].iov_base = arena + (size_t)i * slot;
        vectors[i].iov_len = slot;
        memset(&messages[i], 0, sizeof messages[i]);
        messages[i].msg_hdr.msg_name = &addresses[i];
        messages[i].msg_hdr.msg_namelen = sizeof addresses[i];
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_control = &controls[i];
        messages[i].msg_hdr.msg_controllen = sizeof controls[i];
    }
    int received;
    do received = recvmmsg(fd, messages, count, MSG_DONTWAIT, NULL);
    while (received < 0 && errno == EINTR);
    if (received < 0) return would_block(errno) ? 0 : -errno;
    for (int i = 0; i < received; i++) {
        take(&messages[i].msg_hdr, messages[i].msg_len, slot, (uint32_t)i * slot, &datagrams[i], dropped);
    }
    return received;
#else
    int received = 0;
    for (; received < count; received++) {
        struct msghdr message;
        memset(&message, 0, sizeof message);
        vectors[0].iov_base = arena + (size_t)received * slot;
        vectors[0].iov_len = slot;
        message.msg_name = &addresses[0];
        message.msg_namelen = sizeof addresses[0];
        message.msg_iov = &vectors[0];
        message.msg_iovlen = 1;
        message.msg_control = &controls[0];
        message.msg_controllen = sizeof controls[0];
        ssize_t length = recvmsg(fd, &message, 0);
        if (length < 0) {
            if (would_block(errno)) break;
            return received ? received : -errno;
        }
        take(&message, (uint32_t)length, slot, (uint32_t)received * slot, &datagrams[received], dropped);
    }
    return received;
#endif
}

int hyperconform_tcp_connect(int fd, int family, const hyperconform_datagram *remote) {
    struct sockaddr_storage address;
    socklen_t length = to_sockaddr(family, remote, &address);
    if (connect(fd, (struct sockaddr *)&address, length) == 0 || errno == EINPROGRESS) return 0;
    return errno;
}

int hyperconform_tcp_listen(int fd) { return listen(fd, 128) < 0 ? errno : 0; }

int hyperconform_tcp_accept(int fd) {
    int accepted;
    do accepted = accept(fd, NULL, NULL);
    while (accepted < 0 && errno == EINTR);
    if (accepted < 0) return -errno;
    int on = 1;
    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(accepted, F_SETFD, FD_CLOEXEC);
    fcntl(accepted, F_SETFL, O_NONBLOCK);
    return accepted;
}

int hyperconform_tcp_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return errno;
    return error;
}

long hyperconform_tcp_send(int fd, const uint8_t *bytes, size_t count) {
#ifdef MSG_NOSIGNAL
    ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
#else
    ssize_t sent = send(fd, bytes, count, 0);
#endif
    return sent < 0 ? -errno : sent;
}

int hyperconform_tcp_end(int fd) { return shutdown(fd, SHUT_WR) < 0 ? errno : 0; }
