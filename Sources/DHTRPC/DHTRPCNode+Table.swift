import CompactEncoding
import SansIO

/// Who is in the routing table, and what others say about our address. dht-rpc.md sections 7.3 and 9.1.
extension DHTRPCNode {
    static let mostChecks = 10
    static let mostSwaps = 3

    /// Puts a node in the table without contacting it.
    public func addNode(_ endpoint: Endpoint) {
        guard !isDestroyed, mayContact(endpoint) else { return }
        insert(TableNode(endpoint: endpoint))
    }

    /// Whether a node at this address may enter the table or a query.
    func mayContact(_ endpoint: Endpoint) -> Bool {
        guard case .v4(let host) = endpoint.address, endpoint.port != 0 else { return false }
        let first = host >> 24
        // "This network", multicast and reserved addresses reach nobody.
        guard first != 0, first < 224 else { return false }
        return !config.blockedNodes.contains(endpoint)
    }

    /// An accepted message of this sender arrived.
    func heard(_ source: Endpoint, _ id: Bytes32?, to: Endpoint, isExternal: Bool, isResponse: Bool) {
        guard mayContact(source) else { return }
        guard let id else {
            if isResponse { sampleWithoutID(source, to) }
            return
        }
        guard let known = table.find(id) else {
            /// DHT-31.
            if Mutation.dhtRPC(31).isActive { return }
            insert(TableNode(endpoint: source, id: id, to: to))
            return
        }
        let sampled = table.sampled(at: known)
        let sample = !isExternal && (sampled == 0 || tick - sampled >= Ticks.old)
        table.heard(known, tick: tick, sample: sample ? to : nil)
        if sample { addSample(to) }
    }

    /// Only the first few nodes without id count, as many as there are bootstrap nodes.
    private func sampleWithoutID(_ source: Endpoint, _ to: Endpoint) {
        guard nonPersistentSamples.count < max(1, config.bootstrap.count), !nonPersistentSamples.contains(source) else { return }
        nonPersistentSamples.append(source)
        addSample(to)
    }

    private func addSample(_ to: Endpoint) {
        let before = (natSampler.host, natSampler.port)
        /// DHT-47: the port must be the same for all.
        natSampler.add(to.address, Mutation.dhtRPC(47).isActive ? sockets?.serverPort ?? to.port : to.port)
        if before != (natSampler.host, natSampler.port) {
            events.append(.natUpdate(host: natSampler.host, port: natSampler.port))
        }
    }

    func insert(_ new: TableNode) {
        var node = new
        node.added = tick
        node.pinged = tick
        node.seen = tick
        guard node.id != table.id else { return }
        let takesSample = node.to != nil && node.sampled == 0
        if takesSample { node.sampled = tick }
        switch table.insert(node) {
        case .inserted:
            if let to = node.to, takesSample { addSample(to) }
            if config.reportsTableChanges { events.append(.nodeAdded(node.endpoint)) }
        case .rowFull: rowIsFull(new)
        case .known, .own: break
        }
    }

    func removeNode(_ id: Bytes32) {
        guard let node = table.remove(id) else { return }
        if config.reportsTableChanges { events.append(.nodeRemoved(node.endpoint)) }
    }

    /// DHT-49, DHT-50: the node that was asked longest ago is asked again, and gives way only if it is silent.
    private func rowIsFull(_ newcomer: TableNode) {
        guard isBootstrapped, swaps < DHTRPCNode.mostSwaps else { return }
        guard let oldest = table.leastRecent(inRowOf: newcomer.id, before: tick) else { return }
        if tick - oldest.pinged < Ticks.recent, tick - oldest.added > Ticks.old { return }
        if Mutation.dhtRPC(49).isActive { return replace(oldest.id, by: newcomer) }
        table.update(oldest.id) { $0.pinged = tick }
        swaps += 1
        sendPing(oldest.endpoint, .swap(old: oldest.id, new: newcomer))
    }

    func replace(_ old: Bytes32, by new: TableNode) {
        removeNode(old)
        insert(new)
    }

    /// A liveness check: no answer, or one of another node, and it is out.
    func check(_ id: Bytes32, at endpoint: Endpoint) {
        table.update(id) { $0.pinged = tick }
        checks += 1
        sendPing(endpoint, .check(id))
    }

    func sendPing(_ endpoint: Endpoint, _ purpose: OutgoingRequest.Purpose) {
        var options = RequestOptions()
        options.isInternal = true
        makeRequest(to: endpoint, command: InternalCommand.ping.rawValue, options, for: purpose)
    }
}
