import CDatagram
import SansIO

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How a UDP socket is set up. The defaults are the reference's, but for the receive buffer.
public struct DatagramOptions: Hashable, Sendable {
    /// Sizes tried in this order until the kernel takes one. Larger than the reference's: what a thousand streams send at once fits into the first.
    public var receiveBufferBytes = [4 << 20, 1 << 20, 512 << 10, 256 << 10, 208 << 10]
    public var sendBufferBytes = 212_992
    /// IP time to live of datagrams that name none.
    public var timeToLive = 64
    /// Let the kernel cut and join datagrams. Off for evidence: a capture would show one packet where several were sent.
    public var offload = true
    /// Datagrams that may wait for a full kernel buffer; further ones are dropped and counted.
    public var queueLimit = 8192
    /// Datagrams that one system call sends or receives, 1 to 64.
    public var batch = 64

    public init() {}
}

/// What happened on a socket, counted since it was opened.
public struct DatagramCounters: Hashable, Sendable {
    public var datagramsSent = 0
    public var bytesSent = 0
    public var datagramsReceived = 0
    public var bytesReceived = 0
    /// Failed sends by errno.
    public var failures: [Int32: Int] = [:]
    /// Times that the kernel's send buffer was full.
    public var blocked = 0
    /// Datagrams that found our own queue full.
    public var queueDrops = 0
    /// Received datagrams that were longer than their slot and have been cut.
    public var truncated = 0
    /// Datagrams that the kernel had no room for, as it counts them.
    public var kernelDrops = 0
    public var systemCalls = 0
}

/// A UDP socket that sends and receives in batches. A failed send is counted and reported, and never the end of the socket.
///
/// Belongs to the thread of its loop.
public final class DatagramSocket {
    /// A datagram that the kernel refused.
    public struct Failure: Hashable, Sendable {
        public var destination: Endpoint
        public var code: Int32
    }

    /// Which addresses a socket speaks to.
    public enum Family: Int32, Sendable {
        case v4 = 4
        case v6 = 6
        /// IPv6 that takes IPv4 too.
        case dual = 46
    }

    /// The descriptor, for `poll`; closed with the socket.
    public let fd: Int32
    let family: Family
    public let local: Endpoint
    private let options: DatagramOptions
    private let arena: DatagramArena
    public private(set) var counters = DatagramCounters()
    private var queue: [Transmit] = []
    private var queueStart = 0
    private var fragmentsForbidden = true
    private var sendOffload: Bool
    private var receiveOffload: Bool
    /// Destinations whose path refused segments.
    private var withoutOffload: Set<IPAddress> = []
    private var failures: [Failure] = []

    /// Bytes of a received datagram that are kept: the reference's buffer.
    static let receiveSlot = 2048
    /// Limits of segmentation that the kernel keeps on every path: 64 segments, 60 000 bytes.
    private static let segmentLimit = 64
    private static let segmentBytes = 60_000

    /// Opens and binds a socket. Those that share an arena belong to one thread.
    public init(_ family: Family, local: Endpoint, options: DatagramOptions = DatagramOptions(), arena: DatagramArena) throws(SystemError) {
        let fd = hyperconform_udp_open(family.rawValue)
        guard fd >= 0 else { throw SystemError(-fd, "open a UDP socket") }
        self.fd = fd
        self.family = family
        self.options = options
        self.arena = arena
        sendOffload = options.offload && hyperconform_set(fd, family.rawValue, HYPERCONFORM_SEND_OFFLOAD, 1) == 0
        receiveOffload = options.offload && hyperconform_set(fd, family.rawValue, HYPERCONFORM_RECEIVE_OFFLOAD, 1) == 0
        var address = hyperconform_datagram(local)
        let bound = hyperconform_bind(fd, family.rawValue, &address)
        var chosen = hyperconform_datagram()
        let named = bound == 0 ? hyperconform_local(fd, &chosen) : bound
        self.local = Endpoint(local.address, chosen.port)
        // The descriptor is closed by deinit, here as well: twice would close somebody else's.
        guard named == 0 else { throw SystemError(named, "bind \(local)") }
        for size in options.receiveBufferBytes
        where hyperconform_set(fd, family.rawValue, HYPERCONFORM_RECEIVE_BUFFER, Int32(clamping: size)) == 0 { break }
        // Without these the socket still works, as the kernel's defaults allow.
        _ = hyperconform_set(fd, family.rawValue, HYPERCONFORM_SEND_BUFFER, Int32(clamping: options.sendBufferBytes))
        _ = hyperconform_set(fd, family.rawValue, HYPERCONFORM_TIME_TO_LIVE, Int32(clamping: options.timeToLive))
        _ = hyperconform_set(fd, family.rawValue, HYPERCONFORM_DONT_FRAGMENT, 1)
    }

    deinit { close(fd) }

    // MARK: Sending

    /// Appends a datagram to those that the next `flush` sends.
    public func enqueue(_ transmit: Transmit) {
        guard queue.count - queueStart < options.queueLimit else {
            counters.queueDrops += 1
            return
        }
        queue.append(transmit)
    }

    /// Whether datagrams wait for room in the kernel.
    public var hasQueue: Bool { queueStart < queue.count }

    /// Sends what is queued. Returns false if the kernel's buffer is full: the loop then calls again when the socket is writable.
    public func flush() -> Bool {
        while queueStart < queue.count {
            let (messages, end) = pack()
            counters.systemCalls += 1
            let done = Int(hyperconform_send(fd, family.rawValue, arena.bytes, arena.datagrams, Int32(messages)))
            for index in 0..<done { settle(arena.datagrams[index]) }
            if done == messages {
                queueStart = end
            } else {
                counters.blocked += 1
                break
            }
        }
        if queueStart == queue.count {
            queue.removeAll(keepingCapacity: true)
            queueStart = 0
        } else if queueStart > 1024 {
            queue.removeFirst(queueStart)
            queueStart = 0
        }
        return !hasQueue
    }

    /// Takes the failed sends since the last call.
    func takeFailures() -> [Failure] {
        defer { failures.removeAll(keepingCapacity: true) }
        return failures
    }

    /// As `enqueue` for each, but takes the whole array when nothing else waits, and sends before it would drop any.
    func enqueue(all transmits: inout [Transmit]) {
        guard queue.isEmpty, transmits.count <= options.queueLimit else {
            var isBlocked = false
            for transmit in transmits {
                if !isBlocked, queue.count - queueStart >= options.queueLimit { isBlocked = !flush() }
                enqueue(transmit)
            }
            return transmits.removeAll(keepingCapacity: true)
        }
        swap(&queue, &transmits)
    }

    /// Lays as many queued datagrams as fit into the arena. Returns the number of messages and the queue's index after the last one.
    private func pack() -> (messages: Int, end: Int) {
        let forbid = queue[queueStart].dontFragment
        if forbid != fragmentsForbidden {
            _ = hyperconform_set(fd, family.rawValue, HYPERCONFORM_DONT_FRAGMENT, forbid ? 1 : 0)
            fragmentsForbidden = forbid
        }
        let limit = min(DatagramArena.slots, max(1, options.batch))
        return queue.withUnsafeBufferPointer { queue in
            var messages = 0
            var used = 0
            var index = queueStart
            while index < queue.count, messages < limit, queue[index].dontFragment == forbid,
                used + DatagramSocket.largestMessage < DatagramArena.size
            {
                let run = segments(of: queue, from: index)
                var datagram = hyperconform_datagram(queue[index].destination)
                datagram.timeToLive = queue[index].timeToLive
                datagram.offset = UInt32(used)
                datagram.segment = run > 1 ? UInt16(queue[index].payload.count) : 0
                for step in index..<index + run {
                    // What is longer than IP carries is cut so that the kernel refuses it.
                    let length = min(queue[step].payload.count, DatagramSocket.largestMessage)
                    queue[step].payload.withUnsafeBufferPointer { payload in
                        if let base = payload.baseAddress { (arena.bytes + used).update(from: base, count: length) }
                    }
                    used += length
                }
                datagram.length = UInt32(used) - datagram.offset
                arena.datagrams[messages] = datagram
                messages += 1
                index += run
            }
            return (messages, index)
        }
    }

    /// More than any datagram may have, and less than an arena.
    private static let largestMessage = 66_000

    /// How many datagrams of the queue, the first at `index`, may leave as segments of one message.
    private func segments(of queue: UnsafeBufferPointer<Transmit>, from index: Int) -> Int {
        let size = queue[index].payload.count
        // Only packets of streams come in trains that are worth it; a capture on this machine shows all others as they are.
        guard sendOffload, queue[index].dontFragment, size <= 1472, queue[index].payload.first == 0xff else { return 1 }
        guard withoutOffload.isEmpty || !withoutOffload.contains(queue[index].destination.address) else { return 1 }
        var run = 1
        var bytes = size
        while index + run < queue.count, run < DatagramSocket.segmentLimit {
            let next = queue[index + run].payload.count
            guard queue[index + run].payload.first == 0xff, next <= size, bytes + next <= DatagramSocket.segmentBytes,
                queue[index + run].dontFragment,
                queue[index + run].timeToLive == queue[index].timeToLive, queue[index + run].destination == queue[index].destination
            else { break }
            bytes += next
            run += 1
            // A shorter segment can only be the last.
            if next < size { break }
        }
        return run
    }

    /// Books one message that the kernel took or refused, and removes it from the queue's front.
    private func settle(_ datagram: hyperconform_datagram) {
        let run = datagram.segment == 0 ? 1 : (Int(datagram.length) + Int(datagram.segment) - 1) / Int(datagram.segment)
        defer { queueStart += run }
        if datagram.error == 0 {
            counters.datagramsSent += run
            counters.bytesSent += Int(datagram.length)
            return
        }
        guard datagram.segment != 0, [EINVAL, EMSGSIZE, EIO].contains(datagram.error) else {
            return fail(datagram.endpoint, datagram.error, run)
        }
        // This path takes no segments: from now on, and for these, one by one.
        if withoutOffload.count < 256 { withoutOffload.insert(datagram.endpoint.address) } else { sendOffload = false }
        for step in 0..<run { sendAlone(queue[queueStart + step]) }
    }

    private func sendAlone(_ transmit: Transmit) {
        var datagram = hyperconform_datagram(transmit.destination)
        datagram.timeToLive = transmit.timeToLive
        datagram.length = UInt32(transmit.payload.count)
        counters.systemCalls += 1
        let done = transmit.payload.withUnsafeBufferPointer { payload in
            hyperconform_send(fd, family.rawValue, payload.baseAddress ?? UnsafePointer(arena.bytes), &datagram, 1)
        }
        if done == 1, datagram.error == 0 {
            counters.datagramsSent += 1
            counters.bytesSent += transmit.payload.count
        } else {
            fail(transmit.destination, done == 1 ? datagram.error : EAGAIN)
        }
    }

    private func fail(_ destination: Endpoint, _ code: Int32, _ count: Int = 1) {
        counters.failures[code, default: 0] += count
        if failures.count < 256 { failures.append(Failure(destination: destination, code: code)) }
    }

    // MARK: Receiving

    /// Receives one batch and hands each datagram on: bytes of the arena that are valid during the call. Datagrams that the kernel had joined follow one another
    /// between `burst(true)` and `burst(false)`. Returns how many there were in the kernel's terms; 0 means that nothing waits.
    public func receive(
        burst: (Bool) -> Void = { _ in }, _ body: (_ bytes: [UInt8], _ range: Range<Int>, _ source: Endpoint) -> Void
    ) -> Int {
        let slot = receiveOffload ? 65_536 : DatagramSocket.receiveSlot
        let count = max(1, min(DatagramArena.slots, options.batch, DatagramArena.receiveSize / slot))
        var dropped = UInt32(truncatingIfNeeded: counters.kernelDrops)
        counters.systemCalls += 1
        let received = arena.received.withUnsafeMutableBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return 0 }
            return Int(hyperconform_receive(fd, base, UInt32(slot), arena.datagrams, Int32(count), &dropped))
        }
        guard received > 0 else { return 0 }
        counters.kernelDrops = Int(dropped)
        for index in 0..<received {
            let datagram = arena.datagrams[index]
            if datagram.truncated != 0 { counters.truncated += 1 }
            let source = datagram.endpoint
            let length = Int(datagram.length)
            let piece = datagram.segment == 0 ? max(1, length) : Int(datagram.segment)
            if piece < length { burst(true) }
            var offset = 0
            repeat {
                // A datagram longer than the reference's buffer is cut to it, with or without offload.
                let size = min(piece, length - offset)
                let kept = min(size, DatagramSocket.receiveSlot)
                if kept < size { counters.truncated += 1 }
                let start = Int(datagram.offset) + offset
                counters.datagramsReceived += 1
                counters.bytesReceived += kept
                body(arena.received, start..<start + kept, source)
                offset += max(1, size)
            } while offset < length
            if piece < length { burst(false) }
        }
        return received
    }
}
