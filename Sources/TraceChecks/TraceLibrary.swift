import Conformance
import Dissection
import PacketCapture
import SansIO

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The recorded bundles of a corpus, each read and audited once a process. While a mutant is planted nothing is reused.
final class TraceLibrary: @unchecked Sendable {
    // Unchecked: all state is reached under the lock.
    static let shared = TraceLibrary()

    struct Entry: Sendable {
        let bundle: TraceBundle
        let audit: TraceAudit
    }

    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var bundles: [String: TraceBundle] = [:]
    private var audits: [String: TraceAudit] = [:]

    init() { pthread_mutex_init(lock, nil) }

    deinit {
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    private func locked<T>(_ body: () throws -> T) rethrows -> T {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return try body()
    }

    /// Folders of all bundles.
    func folders(_ corpus: Corpus) throws -> [String] {
        do {
            return try TraceBundle.folders(in: corpus.root + "/Fixtures")
        } catch let error as CaptureError { throw CorpusError(error.message, file: error.file, offset: error.offset) }
    }

    func bundle(_ folder: String) throws -> TraceBundle {
        if let known = locked({ bundles[folder] }) { return known }
        let bundle = try TraceBundle(path: folder)
        locked { bundles[folder] = bundle }
        return bundle
    }

    func audit(_ folder: String) throws -> TraceAudit {
        if Mutation.isAnyActive { return TraceAudit(try bundle(folder)) }
        if let known = locked({ audits[folder] }) { return known }
        let audit = TraceAudit(try bundle(folder))
        locked { audits[folder] = audit }
        return audit
    }
}
