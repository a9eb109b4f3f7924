import SansIO

/// Why a datagram did not arrive.
public enum DropReason: String, Hashable, Sendable, CaseIterable, Comparable {
    case loss, queueFull, corruption, tooLarge, timeToLive, noRoute, noListener, invalidDestination, filtered, noMapping, noHairpin

    public static func < (a: DropReason, b: DropReason) -> Bool { a.rawValue < b.rawValue }
}

/// The state of one direction between two hosts.
struct Link {
    enum Outcome {
        /// When, and when a second time.
        case arrive(at: Instant, payload: [UInt8], copyAt: Instant?)
        case drop(DropReason)
    }

    var profile: LinkProfile
    private var packets = 0
    private var inBurst = false
    private var lastLeft = Instant.zero
    /// When the wire is free again.
    private var busyUntil = Instant.zero
    /// In-order delivery in spite of jitter.
    private var lastArrival = Instant.zero

    /// A pause after which a burst is over.
    static let burstMemory = Interval.milliseconds(200)

    init(_ profile: LinkProfile) { self.profile = profile }

    /// Sends one datagram at `now`. `entropy` is drawn from only where the profile has something to decide.
    mutating func send(_ payload: [UInt8], _ destination: Endpoint, mayFragment: Bool, now: Instant, entropy: some Entropy, context: UInt64)
        -> Outcome
    {
        let label = EntropyLabel(.network, context)
        let number = packets
        packets += 1
        let header = destination.address.isIPv4 ? 20 : 40
        var fragments = 1
        if payload.count + 8 + header > profile.mtu {
            guard mayFragment else { return .drop(.tooLarge) }
            // Each fragment but the last carries a multiple of eight bytes.
            let room = max(8, (profile.mtu - header) / 8 * 8)
            fragments = (payload.count + 8 + room - 1) / room
        }
        let size = payload.count + 8 + header * fragments

        var start = now
        if profile.bandwidth > 0 {
            start = max(now, busyUntil)
            let waiting = (start - now).microseconds.multipliedFullWidth(by: profile.bandwidth)
            let waitingBytes = (waiting.high == 0 ? Int64(clamping: waiting.low) : .max) / 8_000_000
            if waitingBytes + Int64(size) > Int64(profile.queueBytes) + 1500 { return .drop(.queueFull) }
            busyUntil = start + Interval(microseconds: max(1, Int64(size) * 8_000_000 / profile.bandwidth))
            start = busyUntil
        }
        for _ in 0..<fragments where isLost(number, payload, now, entropy, label) { return .drop(.loss) }
        if profile.detectedCorruption > 0, entropy.unit(for: label) < profile.detectedCorruption { return .drop(.corruption) }

        var payload = payload
        if profile.corruption > 0, !payload.isEmpty, entropy.unit(for: label) < profile.corruption {
            let bit = Int(entropy.uniform(below: UInt64(payload.count) * 8, for: label))
            payload[bit / 8] ^= 1 << UInt8(bit % 8)
        }
        var arrival = start + profile.delay
        if profile.jitter > .zero {
            arrival = arrival + Interval(microseconds: Int64(entropy.uniform(below: UInt64(profile.jitter.microseconds) + 1, for: label)))
        }
        if profile.reordering > 0, entropy.unit(for: label) < profile.reordering {
            arrival = arrival + profile.reorderingDelay
        } else {
            arrival = max(arrival, lastArrival)
            lastArrival = arrival
        }
        var copyAt: Instant?
        if profile.duplication > 0, entropy.unit(for: label) < profile.duplication {
            copyAt = arrival + Interval(microseconds: Int64(entropy.uniform(below: 5000, for: label)))
        }
        return .arrive(at: arrival, payload: payload, copyAt: copyAt)
    }

    private mutating func isLost(
        _ number: Int, _ payload: [UInt8], _ now: Instant, _ entropy: some Entropy, _ label: EntropyLabel
    ) -> Bool {
        let gap = now - lastLeft
        lastLeft = now
        switch profile.loss {
        case .none: return false
        case .random(let probability): return probability > 0 && entropy.unit(for: label) < probability
        case .burst(let enter, let leave, let loss):
            let draw = entropy.unit(for: label)
            // Steps are packets while packets follow each other; after a pause the state is drawn afresh, for a burst is a thing of the moment.
            if gap > Link.burstMemory { inBurst = draw < enter / (enter + leave) } else { inBurst = inBurst ? draw >= leave : draw < enter }
            return inBurst && entropy.unit(for: label) < loss
        case .numbers(let numbers): return numbers.contains(number)
        case .scripted(let decide): return decide(number, payload)
        }
    }
}
