import SansIO

/// Classifies the NAT before one puncher socket from what DHT nodes saw. hyperdht.md section 11.
public struct NATClassifier: Sendable {
    private struct Counter: Sendable {
        var endpoint: Endpoint
        var hits: Int
    }

    private var hosts: [Counter] = []
    private var full: [Counter] = []
    private var visited: Set<Endpoint> = []
    public private(set) var sampled = 0
    public private(set) var firewall: Firewall
    /// What the peer is told; nil for "absent".
    public private(set) var addresses: [Endpoint]?
    /// Set once the result was told to the peer: later samples no longer change it.
    public private(set) var isFrozen = false

    /// Samples wanted.
    public static let wanted = 4
    /// Samples without which nothing is said.
    public static let minimum = 3

    public init(isFirewalled: Bool) { firewall = isFirewalled ? .unknown : .open }

    /// Samples no more: what is known by now is told to the other side.
    public mutating func freeze() { isFrozen = true }

    /// One sample per node: `to` is our address as `from` saw it. `isFirewalled` is the node's present opinion.
    public mutating func add(_ to: Endpoint, from: Endpoint, isFirewalled: Bool) {
        guard visited.insert(from).inserted else { return }
        NATClassifier.count(&hosts, Endpoint(to.address, 0))
        NATClassifier.count(&full, to)
        sampled += 1
        if sampled >= NATClassifier.minimum || !isFirewalled, !isFrozen { update(isFirewalled: isFirewalled) }
    }

    /// Whether a node has been asked for its view already.
    public func hasVisited(_ node: Endpoint) -> Bool { visited.contains(node) }

    /// Whether the analysis has settled: CONSISTENT, OPEN, or enough samples.
    public var isSettled: Bool { firewall == .consistent || firewall == .open || sampled >= NATClassifier.wanted }

    /// Classifies anew.
    public mutating func update(isFirewalled: Bool) {
        if isFirewalled, firewall == .open { firewall = .unknown }
        classify(isFirewalled: isFirewalled)
        switch firewall {
        case .unknown: addresses = nil
        case .consistent:
            var result: [Endpoint] = []
            for counter in full where counter.hits >= 2 || result.count < 2 { result.append(counter.endpoint) }
            addresses = result
        case let firewall where firewall.isRandom: addresses = hosts.first.map { [$0.endpoint] }
        default: break
        }
    }

    private mutating func classify(isFirewalled: Bool) {
        guard isFirewalled else {
            firewall = .open
            return
        }
        guard sampled >= NATClassifier.minimum, let most = full.first?.hits else { return }
        if most >= 3 {
            firewall = .consistent
        } else if most == 1 {
            firewall = .random
        } else if hosts.count == 1, sampled > 3 {
            firewall = .random
        } else if hosts.count > 1, full.count > 1, full[1].hits > 1 {
            firewall = .consistent
        } else if sampled > 4 {
            firewall = .random
        }
    }

    /// Counters stand in order of hits; among equals the first to reach the number stays in front.
    private static func count(_ counters: inout [Counter], _ endpoint: Endpoint) {
        guard var at = counters.firstIndex(where: { $0.endpoint == endpoint }) else {
            counters.append(Counter(endpoint: endpoint, hits: 1))
            return
        }
        counters[at].hits += 1
        while at > 0, counters[at - 1].hits < counters[at].hits {
            counters.swapAt(at - 1, at)
            at -= 1
        }
    }
}
