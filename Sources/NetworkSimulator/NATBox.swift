import SansIO

/// How a NAT box maps and filters, in the terms of RFC 4787.
public struct NATBehaviour: Hashable, Sendable {
    public enum Dependence: Sendable { case endpointIndependent, addressDependent, addressAndPortDependent }
    public enum PortChoice: Sendable {
        /// The inside port if it is free, else the next free one.
        case preserving
        case random
    }

    public var mapping: Dependence
    public var filtering: Dependence
    public var ports: PortChoice
    /// Whether hosts inside reach each other by the outside address.
    public var hairpin: Bool
    /// Mappings without outgoing traffic die after this long.
    public var lifetime: Interval

    public init(mapping: Dependence, filtering: Dependence, ports: PortChoice, hairpin: Bool = false, lifetime: Interval = .seconds(120)) {
        self.mapping = mapping
        self.filtering = filtering
        self.ports = ports
        self.hairpin = hairpin
        self.lifetime = lifetime
    }

    /// One outside port for each inside socket; anybody may send to it ("full cone").
    public static let open = NATBehaviour(mapping: .endpointIndependent, filtering: .endpointIndependent, ports: .preserving)
    /// One outside port for each inside socket; only remote addresses that were written to may answer. What hyperdht calls consistent.
    public static let consistent = NATBehaviour(mapping: .endpointIndependent, filtering: .addressAndPortDependent, ports: .preserving)
    /// A new random outside port for each destination. What hyperdht calls random.
    public static let random = NATBehaviour(mapping: .addressAndPortDependent, filtering: .addressAndPortDependent, ports: .random)
}

/// One NAT box: translates between an inside segment and its one outside address.
struct NATBox {
    private struct Key: Hashable {
        var inside: Endpoint
        var remote: Endpoint?
    }

    private struct Mapping {
        var key: Key
        var lastOutgoing: Instant
        var permitted: Set<Endpoint>
    }

    let behaviour: NATBehaviour
    let outside: IPAddress
    let parent: SegmentID
    let inside: SegmentID
    private var ports: [Key: UInt16] = [:]
    private var mappings: [UInt16: Mapping] = [:]

    init(_ behaviour: NATBehaviour, outside: IPAddress, parent: SegmentID, inside: SegmentID) {
        self.behaviour = behaviour
        self.outside = outside
        self.parent = parent
        self.inside = inside
    }

    var mappingCount: Int { mappings.count }

    private func restricted(_ remote: Endpoint, by dependence: NATBehaviour.Dependence) -> Endpoint? {
        switch dependence {
        case .endpointIndependent: nil
        case .addressDependent: Endpoint(remote.address, 0)
        case .addressAndPortDependent: remote
        }
    }

    /// The source that the outside sees; nil when no port is free.
    mutating func translateOutgoing(_ source: Endpoint, to remote: Endpoint, now: Instant, entropy: some Entropy) -> Endpoint? {
        let key = Key(inside: source, remote: restricted(remote, by: behaviour.mapping))
        let permit = restricted(remote, by: behaviour.filtering)
        if let port = ports[key] {
            if var mapping = mappings[port], now - mapping.lastOutgoing <= behaviour.lifetime {
                mapping.lastOutgoing = now
                if let permit { mapping.permitted.insert(permit) }
                mappings[port] = mapping
                return Endpoint(outside, port)
            }
            mappings[port] = nil
            ports[key] = nil
        }
        guard let port = choosePort(source.port, now: now, entropy: entropy) else { return nil }
        ports[key] = port
        mappings[port] = Mapping(key: key, lastOutgoing: now, permitted: permit.map { [$0] } ?? [])
        return Endpoint(outside, port)
    }

    private mutating func choosePort(_ wanted: UInt16, now: Instant, entropy: some Entropy) -> UInt16? {
        var candidate = wanted
        for attempt in 0..<20_000 {
            if behaviour.ports == .random {
                candidate = UInt16(
                    1024 + entropy.uniform(below: 65536 - 1024, for: EntropyLabel(.network, 0x4e41_5400 + UInt64(inside.number))))
            } else if attempt > 0 {
                candidate = candidate == .max ? 1024 : candidate + 1
            }
            guard candidate > 0 else { continue }
            guard let taken = mappings[candidate] else { return candidate }
            if now - taken.lastOutgoing > behaviour.lifetime {
                ports[taken.key] = nil
                mappings[candidate] = nil
                return candidate
            }
        }
        return nil
    }

    enum Incoming {
        case deliver(Endpoint)
        case drop(DropReason)
    }

    /// Where inside a datagram to one of our outside ports goes.
    func translateIncoming(to port: UInt16, from remote: Endpoint, now: Instant) -> Incoming {
        guard let mapping = mappings[port], now - mapping.lastOutgoing <= behaviour.lifetime else { return .drop(.noMapping) }
        if let needed = restricted(remote, by: behaviour.filtering), !mapping.permitted.contains(needed) { return .drop(.filtered) }
        return .deliver(mapping.key.inside)
    }
}
