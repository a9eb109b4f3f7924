import SansIO

/// Bootstrap entries on their way to addresses, and who waits for them. dht-rpc.md section 12.
struct BootstrapResolver {
    enum Waiter {
        case query(QueryID)
        case firewallCheck([Endpoint])
    }

    enum State {
        case idle
        /// The suggested address is being asked.
        case asked
        /// The driver looks the name up.
        case lookedUp
        case resolved(Endpoint)
        case unresolvable
    }

    var states: [State] = []
    var waiters: [Waiter] = []
    /// When the states were found out; they are found out anew after five minutes.
    var since = Instant.zero
    static let lifetime = Interval.seconds(300)

    var isSettled: Bool {
        states.allSatisfy {
            switch $0 {
            case .resolved, .unresolvable: true
            default: false
            }
        }
    }

    var endpoints: [Endpoint] { states.compactMap { if case .resolved(let endpoint) = $0 { endpoint } else { nil } } }
}

extension DHTRPCNode {
    /// Calls the waiter's continuation with the bootstrap nodes' addresses, at once if no name or suggestion is among them.
    func resolveBootstrap(_ waiter: BootstrapResolver.Waiter) {
        let entries = config.bootstrap
        if entries.allSatisfy({ $0.endpoint != nil }) { return hand(entries.compactMap(\.endpoint), to: waiter) }
        bootstrapResolver.waiters.append(waiter)
        if bootstrapResolver.isSettled,
            bootstrapResolver.states.isEmpty || now - bootstrapResolver.since > BootstrapResolver.lifetime
                || bootstrapResolver.endpoints.isEmpty
        {
            bootstrapResolver.states = entries.map { $0.endpoint.map { .resolved($0) } ?? .idle }
            bootstrapResolver.since = now
            for index in entries.indices {
                guard case .idle = bootstrapResolver.states[index] else { continue }
                /// DHT-53: the suggested address first, without any look-up.
                if let suggested = entries[index].suggested, !Mutation.dhtRPC(53).isActive {
                    bootstrapResolver.states[index] = .asked
                    sendPing(Endpoint(suggested, entries[index].port), .suggestedAddress(index))
                } else {
                    lookUp(index)
                }
            }
        }
        settleBootstrap()
    }

    func suggestedAddressAnswered(_ index: Int, _ answered: Bool) {
        guard index < bootstrapResolver.states.count, case .asked = bootstrapResolver.states[index] else { return }
        let entry = config.bootstrap[index]
        if answered, let suggested = entry.suggested {
            bootstrapResolver.states[index] = .resolved(Endpoint(suggested, entry.port))
            settleBootstrap()
        } else {
            lookUp(index)
            settleBootstrap()
        }
    }

    private func lookUp(_ index: Int) {
        let entry = config.bootstrap[index]
        if let address = IPAddress(entry.host) {
            bootstrapResolver.states[index] = address.isIPv4 ? .resolved(Endpoint(address, entry.port)) : .unresolvable
            return
        }
        bootstrapResolver.states[index] = .lookedUp
        events.append(.resolve(entry.host))
    }

    /// The driver looked a name up; nil: in vain.
    public func resolved(_ name: String, to address: IPAddress?) {
        for index in bootstrapResolver.states.indices where config.bootstrap[index].host == name {
            guard case .lookedUp = bootstrapResolver.states[index] else { continue }
            if let address = address?.unmapped, address.isIPv4 {
                bootstrapResolver.states[index] = .resolved(Endpoint(address, config.bootstrap[index].port))
            } else {
                bootstrapResolver.states[index] = .unresolvable
            }
        }
        settleBootstrap()
    }

    private func settleBootstrap() {
        guard bootstrapResolver.isSettled, !bootstrapResolver.waiters.isEmpty else { return }
        let waiters = bootstrapResolver.waiters
        let endpoints = bootstrapResolver.endpoints
        bootstrapResolver.waiters = []
        for waiter in waiters { hand(endpoints, to: waiter) }
    }

    private func hand(_ endpoints: [Endpoint], to waiter: BootstrapResolver.Waiter) {
        switch waiter {
        case .query(let query): bootstrapResolved(query, endpoints)
        case .firewallCheck(let nodes): bootstrapResolved(forCheckOf: nodes, endpoints)
        }
    }
}
