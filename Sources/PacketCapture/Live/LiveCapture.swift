import CPcap
import SansIO

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Why a live capture can't start or go on; the message says what to do about it.
public struct LiveCaptureError: Error, Sendable, CustomStringConvertible {
    public enum Kind: Sendable { case notPermitted, noSuchInterface, badFilter, failed }

    public let kind: Kind
    public let message: String

    public var description: String { message }
}

/// Captures packets from an interface with libpcap.
///
/// Two modes. *Evidence*: no immediate mode, a 64 MiB ring, 50 ms of patience: libpcap's immediate mode loses packets under load, and a
/// capture that lost one proves nothing. *Live*: immediate, for people who watch. A capture counts as evidence only if `dropped` stayed 0 and
/// both marker packets (`CaptureMarker`) are in it. Use from one thread.
public final class LiveCapture {
    public enum Mode: Sendable { case evidence, live }

    public struct Options: Sendable {
        public var interface: String
        /// A libpcap filter; nil for everything.
        public var filter: String?
        public var mode: Mode
        public var ringBytes: Int32 = 64 << 20
        public var snapLength: Int32 = 262_144
        public var timeoutMilliseconds: Int32 = 50

        public init(interface: String, filter: String? = nil, mode: Mode = .evidence) {
            self.interface = interface
            self.filter = filter
            self.mode = mode
        }
    }

    public struct Frame: Sendable {
        public let timeNanoseconds: Int64
        public let bytes: [UInt8]
        public let originalLength: Int
    }

    public struct Counters: Sendable {
        /// libpcap's count; on `lo` every packet is counted twice.
        public let received: UInt64
        /// Lost for want of room. Must be 0 for evidence.
        public let dropped: UInt64
        public let droppedByInterface: UInt64
    }

    public let options: Options
    public let linkType: LinkType
    private let handle: OpaquePointer
    private let nanoseconds: Bool

    public init(_ options: Options) throws(LiveCaptureError) {
        var errors = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
        guard let handle = pcap_create(options.interface, &errors) else {
            throw LiveCaptureError(kind: .failed, message: "libpcap can't open \(options.interface): \(LiveCapture.text(errors))")
        }
        pcap_set_snaplen(handle, options.snapLength)
        pcap_set_promisc(handle, 0)
        pcap_set_timeout(handle, options.timeoutMilliseconds)
        pcap_set_buffer_size(handle, options.ringBytes)
        pcap_set_immediate_mode(handle, options.mode == .live ? 1 : 0)
        nanoseconds = pcap_set_tstamp_precision(handle, PCAP_TSTAMP_PRECISION_NANO) == 0
        let status = pcap_activate(handle)
        if status < 0 {
            let detail = String(cString: pcap_geterr(handle))
            pcap_close(handle)
            throw LiveCapture.activationError(status, options.interface, detail)
        }
        guard let linkType = LinkType(rawValue: Int(pcap_datalink(handle))) else {
            pcap_close(handle)
            throw LiveCaptureError(
                kind: .failed, message: "interface \(options.interface) has a link type that is not supported; try \"any\" or \"lo\"")
        }
        if let filter = options.filter {
            var program = bpf_program()
            guard pcap_compile(handle, &program, filter, 1, PCAP_NETMASK_UNKNOWN) == 0 else {
                let detail = String(cString: pcap_geterr(handle))
                pcap_close(handle)
                throw LiveCaptureError(kind: .badFilter, message: "the filter \"\(filter)\" is not understood: \(detail)")
            }
            let set = pcap_setfilter(handle, &program)
            pcap_freecode(&program)
            guard set == 0 else {
                let detail = String(cString: pcap_geterr(handle))
                pcap_close(handle)
                throw LiveCaptureError(kind: .badFilter, message: "the filter \"\(filter)\" can't be installed: \(detail)")
            }
        }
        // Without this the kernel's ring blocks for as long as an interface is silent, whatever the time-out.
        pcap_setnonblock(handle, 1, &errors)
        self.options = options
        self.linkType = linkType
        self.handle = handle
    }

    deinit { pcap_close(handle) }

    private static func activationError(_ status: Int32, _ interface: String, _ detail: String) -> LiveCaptureError {
        switch status {
        case PCAP_ERROR_PERM_DENIED, PCAP_ERROR_PROMISC_PERM_DENIED:
            LiveCaptureError(
                kind: .notPermitted,
                message: "capturing on \(interface) is not permitted. Run as root, or give the program the right once: "
                    + "sudo setcap cap_net_raw,cap_net_admin+eip $(which hyperconform)")
        case PCAP_ERROR_NO_SUCH_DEVICE, PCAP_ERROR_IFACE_NOT_UP:
            LiveCaptureError(
                kind: .noSuchInterface,
                message: "there is no interface \(interface), or it is down. Interfaces here: "
                    + ((try? interfaces())?.joined(separator: ", ") ?? "unknown"))
        default:
            LiveCaptureError(
                kind: .failed, message: "capturing on \(interface) failed: \(detail.isEmpty ? "libpcap error \(status)" : detail)")
        }
    }

    /// The names of the interfaces that libpcap sees.
    public static func interfaces() throws(LiveCaptureError) -> [String] {
        var errors = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
        var first: UnsafeMutablePointer<pcap_if_t>?
        guard pcap_findalldevs(&first, &errors) == 0 else {
            throw LiveCaptureError(kind: .failed, message: "interfaces can't be listed: \(text(errors))")
        }
        defer { pcap_freealldevs(first) }
        var names: [String] = []
        var next = first
        while let device = next {
            names.append(String(cString: device.pointee.name))
            next = device.pointee.next
        }
        return names
    }

    private static func text(_ buffer: [CChar]) -> String {
        String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The next frame, or nil if none came within the time-out.
    public func next() throws(LiveCaptureError) -> Frame? {
        if let frame = try read() { return frame }
        var waiting = pollfd(fd: pcap_get_selectable_fd(handle), events: Int16(POLLIN), revents: 0)
        guard waiting.fd >= 0, poll(&waiting, 1, max(1, options.timeoutMilliseconds)) > 0 else { return nil }
        return try read()
    }

    private func read() throws(LiveCaptureError) -> Frame? {
        var header: UnsafeMutablePointer<pcap_pkthdr>?
        var data: UnsafePointer<UInt8>?
        switch pcap_next_ex(handle, &header, &data) {
        case 1:
            guard let header, let data else { return nil }
            let fraction = Int64(header.pointee.ts.tv_usec) * (nanoseconds ? 1 : 1000)
            return Frame(
                timeNanoseconds: Int64(header.pointee.ts.tv_sec) * 1_000_000_000 + fraction,
                bytes: Array(UnsafeBufferPointer(start: data, count: Int(header.pointee.caplen))),
                originalLength: Int(header.pointee.len))
        case 0, PCAP_ERROR_BREAK: return nil
        default:
            throw LiveCaptureError(
                kind: .failed, message: "the capture on \(options.interface) stopped: \(String(cString: pcap_geterr(handle)))")
        }
    }

    public func counters() throws(LiveCaptureError) -> Counters {
        var statistics = pcap_stat()
        guard pcap_stats(handle, &statistics) == 0 else {
            throw LiveCaptureError(kind: .failed, message: "libpcap has no counters: \(String(cString: pcap_geterr(handle)))")
        }
        return Counters(
            received: UInt64(statistics.ps_recv), dropped: UInt64(statistics.ps_drop), droppedByInterface: UInt64(statistics.ps_ifdrop))
    }
}
