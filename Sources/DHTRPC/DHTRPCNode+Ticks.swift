import CompactEncoding
import SansIO

/// Five-second ticks. dht-rpc.md section 8.
enum Ticks {
    static let interval = Interval.seconds(5)
    /// A tick that comes later than this means that the machine slept.
    static let sleeping = Interval.seconds(15)
    static let stable: Int32 = 240
    static let moreStable: Int32 = 720
    static let refresh: Int32 = 60
    static let recent: Int32 = 12
    static let old: Int32 = 360
}

extension DHTRPCNode {
    func runTick() {
        let gap = now - lastTick
        lastTick = now
        nextTick = now + Ticks.interval
        if gap > Ticks.sleeping { wokeUp() } else { tick &+= 1 }
        defer {
            downHintsSent = 0
            if health.tick(responses: statistics.responses, timeouts: statistics.timeouts) {
                events.append(.networkUpdate(health.health))
            }
        }
        guard isBootstrapped else { return }
        if isAdaptive, isEphemeral {
            stableTicks -= 1
            if stableTicks <= 0 {
                if let host = lastCheckedHost, host == natSampler.host {
                    stableTicks = Ticks.moreStable
                } else {
                    checkNetwork(onlyFirewall: false)
                }
            }
        }
        /// DHT-51: every 40 s some of the nodes that were not heard for the longest time; a search at least every five minutes.
        if tick & 7 == 0, !Mutation.dhtRPC(51).isActive { pingSome() }
        refreshTicks -= 1
        if (tick & 63 == 0 && table.count < RoutingTable.k) || refreshTicks <= 0 { refresh() }
    }

    private func pingSome() {
        guard let oldest = table.oldest else { return refresh() }
        var count = requests.count > 2 ? 3 : 5
        if tick - oldest.pinged < Ticks.recent { count = 2 }
        for node in table.oldestFirst(count) {
            if node.pinged == tick { break }
            check(node.id, at: node.endpoint)
        }
    }

    /// A background search around a random node that we know.
    public func refresh() {
        guard life == .running else { return }
        let count = table.count
        let index = count > 0 ? Int(entropy.uniform(below: UInt64(count), for: EntropyLabel(.refreshTarget))) : 0
        backgroundQuery(.refresh, table.nth(index)?.id ?? table.id)
    }

    /// Has the next background search start after this many ticks of 5 s, if no query starts before.
    public func refresh(inTicks ticks: Int32) { refreshTicks = max(1, ticks) }

    func backgroundQuery(_ kind: Query.Kind, _ target: Bytes32) {
        var options = QueryOptions()
        options.isInternal = true
        _ = startQuery(kind, target, InternalCommand.findNode.rawValue, options, concurrency: backgroundConcurrency)
    }

    var backgroundConcurrency: Int { min(config.concurrency, max(2, config.concurrency / 8)) }

    /// A background search is quick while nothing else goes on. The first answer of all makes a quick firewall check.
    func queryGotReply(_ query: Query, _ reply: ReceivedResponse) {
        guard query.kind != .owner else { return }
        query.concurrency = requests.count < 3 ? config.concurrency : backgroundConcurrency
        if query.kind == .bootstrap, quickProbePending {
            quickProbePending = false
            var options = RequestOptions()
            options.isInternal = true
            options.value = portValue(sockets?.serverPort ?? 0)
            options.id = reply.id
            makeRequest(to: reply.from, command: InternalCommand.pingNAT.rawValue, options, for: .quickProbe)
        }
    }

    /// The machine slept, or was resumed. dht-rpc.md section 13.3.
    func wokeUp() {
        tick += 2 * Ticks.old
        tick += 8 - (tick & 7) - 2
        stableTicks = Ticks.moreStable
        refreshTicks = 1
        lastCheckedHost = nil
        if health.reset() { events.append(.networkUpdate(health.health)) }
        if isAdaptive, !isEphemeral {
            isEphemeral = true
            events.append(.ephemeral)
        }
        events.append(.wakeUp)
    }
}
