import CompactEncoding
import SansIO

/// A firewall check under way. dht-rpc.md section 9.2.
struct NetworkCheck {
    let onlyFirewall: Bool
    let sampledAddress: Endpoint
    var asked = 0
    var left = 0
    var answers: [ReceivedResponse] = []
    private var hosts: Set<IPAddress> = []

    init(onlyFirewall: Bool, sampledAddress: Endpoint) {
        self.onlyFirewall = onlyFirewall
        self.sampledAddress = sampledAddress
    }

    mutating func heardOnServerSocket(_ host: IPAddress) { hosts.insert(host) }
    func reached(from host: IPAddress) -> Bool { hosts.contains(host) }
}

/// From ephemeral to persistent. dht-rpc.md section 9.3.
extension DHTRPCNode {
    static let nodesOfFirewallCheck = 5

    /// Starts a check; its end continues the bootstrap, if that waits for it.
    func checkNetwork(onlyFirewall: Bool) {
        guard networkCheck == nil else { return }
        guard isEphemeral, !onlyFirewall || isFirewalled else { return networkChecked(false) }
        if !onlyFirewall {
            stableTicks = Ticks.moreStable
            lastCheckedHost = natSampler.host
        }
        guard let address = natSampler.endpoint else { return networkChecked(false) }
        networkCheck = NetworkCheck(onlyFirewall: onlyFirewall, sampledAddress: address)
        guard isFirewalled else { return networkIsOpen(natSampler) }
        var nodes = table.latestFirst(DHTRPCNode.nodesOfFirewallCheck).map(\.endpoint)
        if nodes.count < DHTRPCNode.nodesOfFirewallCheck {
            resolveBootstrap(.firewallCheck(nodes))
        } else {
            probe(&nodes)
        }
    }

    func bootstrapResolved(forCheckOf nodes: [Endpoint], _ bootstrap: [Endpoint]) {
        guard networkCheck != nil else { return }
        var all = Array((nodes + bootstrap).prefix(max(nodes.count, DHTRPCNode.nodesOfFirewallCheck)))
        probe(&all)
    }

    private func probe(_ nodes: inout [Endpoint]) {
        guard !nodes.isEmpty, let sockets else { return networkChecked(false) }
        networkCheck?.asked = nodes.count
        networkCheck?.left = nodes.count
        /// DHT-45: PING_NAT names the server port.
        let port = Mutation.dhtRPC(45).isActive ? sockets.clientPort : sockets.serverPort
        for node in nodes {
            var options = RequestOptions()
            options.isInternal = true
            options.value = portValue(port)
            options.id = NodeID.of(node)
            makeRequest(to: node, command: InternalCommand.pingNAT.rawValue, options, for: .firewallProbe)
        }
    }

    func firewallProbeEnded(_ answer: ReceivedResponse?) {
        guard networkCheck != nil else { return }
        if let answer { networkCheck?.answers.append(answer) }
        networkCheck?.left -= 1
        guard let check = networkCheck, check.left <= 0 else { return }
        var sampler = NATSampler()
        var count = 0
        for answer in check.answers {
            /// DHT-46: only what came in on the server socket counts.
            guard check.reached(from: answer.from.address) || Mutation.dhtRPC(46).isActive else { continue }
            count += 1
            sampler.add(Mutation.dhtRPC(46).isActive ? Endpoint(answer.to.address, sockets?.serverPort ?? 0) : answer.to)
        }
        let needed = check.asked >= DHTRPCNode.nodesOfFirewallCheck ? 3 : 1
        guard count >= needed, let host = sampler.host, host == natSampler.host, sampler.port != 0, sampler.port == sockets?.serverPort
        else { return networkChecked(false) }
        networkIsOpen(sampler)
    }

    private func networkIsOpen(_ sampler: NATSampler) {
        // A sampler of its own was filled only where a firewall check was made.
        let isFirewallProven = isFirewalled
        guard let check = networkCheck else { return }
        isFirewalled = false
        guard isEphemeral, natSampler.endpoint == check.sampledAddress, let address = sampler.endpoint,
            address.address == natSampler.host
        else { return networkChecked(false) }
        if !check.onlyFirewall { isEphemeral = false }
        let before = natSampler.endpoint
        natSampler = sampler
        if isFirewallProven { nonPersistentSamples = [] }
        if before != natSampler.endpoint { events.append(.natUpdate(host: sampler.host, port: sampler.port)) }
        adopt(NodeID.of(address))
        if !check.onlyFirewall { events.append(.persistent(id: table.id)) }
        networkChecked(true)
    }

    /// A new table id: the nodes move over as far as they fit.
    private func adopt(_ id: Bytes32) {
        guard id != table.id else { return }
        let old = table
        table = RoutingTable(id: id)
        for node in old.oldestFirst(old.count) where node.id != id {
            if case .inserted = table.insert(node) { continue }
            if config.reportsTableChanges { events.append(.nodeRemoved(node.endpoint)) }
        }
        if isBootstrapped { refresh() }
    }

    private func networkChecked(_ changed: Bool) {
        networkCheck = nil
        if bootstrapRound > 0, !isBootstrapped { bootstrapChecked(changed) }
    }
}
