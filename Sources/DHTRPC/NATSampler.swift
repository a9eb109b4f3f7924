import SansIO

/// Settles on the own public address from what others say. dht-rpc.md section 9.1.
///
/// Each sample feeds two counters, one for host and port, one for the host alone. A counter is shared with one of the four samples
/// before it that said the same; a sample that falls out of the ring of sixteen takes its hits along.
public struct NATSampler: Sendable {
    private struct Counter: Sendable {
        var host: IPAddress
        var port: UInt16
        var hits: Int
    }

    /// Indices of a sample's two counters.
    private struct Sample: Sendable {
        var full: Int
        var host: Int
    }

    /// Samples held at most.
    public static let capacity = 16
    /// How many samples back a counter may be shared.
    static let reach = 4

    private var samples: [Sample] = []
    private var counters: [Counter] = []
    private var next = 0
    private var bestFull: Int?
    private var bestHost: Int?

    /// The public host, nil while unknown.
    public private(set) var host: IPAddress?
    /// The public port; 0 while unknown, or where the NAT gives each destination another one.
    public private(set) var port: UInt16 = 0

    public init() {}

    /// Samples held, at most 16.
    public var count: Int { samples.count }

    /// Host and port if both are known.
    public var endpoint: Endpoint? {
        guard let host, port != 0 else { return nil }
        return Endpoint(host, port)
    }

    /// How many of the samples the best counter must have.
    private var threshold: Int {
        let count = samples.count
        return count - (count < 4 ? 0 : count < 8 ? 1 : count < 12 ? 2 : 3)
    }

    /// Adds what one peer saw. Returns whether the host is known now.
    @discardableResult
    public mutating func add(_ host: IPAddress, _ port: UInt16) -> Bool {
        let full = bump(host, port, isFull: true)
        let hostOnly = bump(host, 0, isFull: false)
        if samples.count < NATSampler.capacity {
            samples.append(Sample(full: full, host: hostOnly))
        } else {
            let old = samples[next]
            samples[next] = Sample(full: full, host: hostOnly)
            counters[old.full].hits -= 1
            counters[old.host].hits -= 1
        }
        next = (next + 1) % NATSampler.capacity
        if bestFull.map({ counters[$0].hits < counters[full].hits }) ?? true { bestFull = full }
        if bestHost.map({ counters[$0].hits < counters[hostOnly].hits }) ?? true { bestHost = hostOnly }
        settle()
        return self.host != nil
    }

    @discardableResult
    public mutating func add(_ endpoint: Endpoint) -> Bool { add(endpoint.address, endpoint.port) }

    private mutating func settle() {
        if let best = bestFull, counters[best].hits >= threshold {
            host = counters[best].host
            port = counters[best].port
        } else if let best = bestHost, counters[best].hits >= threshold {
            host = counters[best].host
            port = 0
        } else {
            host = nil
            port = 0
        }
    }

    /// The counter that one of the last four samples has for this address, with one hit more, or a new one.
    private mutating func bump(_ host: IPAddress, _ port: UInt16, isFull: Bool) -> Int {
        for back in 1...NATSampler.reach where back <= samples.count {
            let sample = samples[(next - back + NATSampler.capacity) % NATSampler.capacity]
            let index = isFull ? sample.full : sample.host
            if counters[index].host == host, counters[index].port == port {
                counters[index].hits += 1
                return index
            }
        }
        let fresh = Counter(host: host, port: port, hits: 1)
        // A counter that no sample uses and that is not the best is free: at most 2 * 16 + 2 exist.
        if counters.count > 2 * NATSampler.capacity,
            let free = counters.indices.first(where: { counters[$0].hits <= 0 && $0 != bestFull && $0 != bestHost })
        {
            counters[free] = fresh
            return free
        }
        counters.append(fresh)
        return counters.count - 1
    }
}
