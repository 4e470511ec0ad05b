/// One socket of a loop: where it is in the loop's table. Someone may hold this until the end of a
/// call although the socket was closed meanwhile, and its place perhaps is another's: then it is
/// found closed, and what is set is lost.
@safe struct LoopSocket: Equatable {
  enum Role: UInt8 {
    case datagram
    case connectedDatagram
    case listener
    case connecting
    case stream
  }

  /// The table outlives every call of the loop. By address: a reference would be counted at each look.
  private let table: UnsafeMutablePointer<SocketStorage>
  let id: SocketID
  /// Which of the sockets this is that have had its id.
  fileprivate let generation: UInt32

  fileprivate init(_ table: UnsafeMutablePointer<SocketStorage>, _ id: SocketID, generation: UInt32)
  {
    unsafe self.table = table
    self.id = id
    self.generation = generation
  }

  static func == (left: LoopSocket, right: LoopSocket) -> Bool {
    left.id == right.id && left.generation == right.generation
  }

  private var record: SocketRecord {
    @inline(__always) unsafeAddress { unsafe UnsafePointer(table.pointee.address(of: self)) }
    @inline(__always) nonmutating unsafeMutableAddress { unsafe table.pointee.address(of: self) }
  }

  /// What only a UDP socket or a listener has; the one of no socket elsewhere.
  private var bound: BoundSocket {
    @inline(__always) unsafeAddress { unsafe UnsafePointer(table.pointee.addressOfBound(self)) }
    @inline(__always) nonmutating unsafeMutableAddress { unsafe table.pointee.addressOfBound(self) }
  }

  /// The number of the descriptor; -1 once it was closed.
  var fd: Int32 { record.fd }

  /// What the poller says when it is ready; no other socket of the loop ever has it.
  var token: UInt64 { UInt64(generation) << 32 | UInt64(id.rawValue) }

  var isOpen: Bool { fd >= 0 }

  var role: Role {
    get { record.role }
    nonmutating set { record.role = newValue }
  }

  /// What the poller watches it for, or shall once it can be asked again.
  var interest: Readiness {
    get { Readiness(rawValue: UInt32(record.interest)) }
    nonmutating set { record.interest = UInt8(truncatingIfNeeded: newValue.rawValue) }
  }

  /// The system's send buffer is full, and the core knows.
  var isBlocked: Bool {
    get { record[.isBlocked] }
    nonmutating set { record[.isBlocked] = newValue }
  }

  /// Of a stream: it is not read, because the program takes no more.
  var isPaused: Bool {
    get { record[.isPaused] }
    nonmutating set { record[.isPaused] = newValue }
  }

  /// Of a stream: it hung up while it was paused, and is not polled until it is read again.
  var isUnpolled: Bool {
    get { record[.isUnpolled] }
    nonmutating set { record[.isUnpolled] = newValue }
  }

  /// The poller could not be asked for `interest`, and is asked again.
  var isMiswatched: Bool {
    get { record[.isMiswatched] }
    nonmutating set { record[.isMiswatched] = newValue }
  }

  /// Of a stream: its end was read.
  var hasReadEnd: Bool {
    get { record[.hasReadEnd] }
    nonmutating set { record[.hasReadEnd] = newValue }
  }

  /// Of a stream: its failure was told to the core.
  var hasFailed: Bool {
    get { record[.hasFailed] }
    nonmutating set { record[.hasFailed] = newValue }
  }

  /// Of a stream: it was last read straight into a large message.
  var expectsLarge: Bool {
    get { record[.expectsLarge] }
    nonmutating set { record[.expectsLarge] = newValue }
  }

  /// Of a listener: accepting fails for want of descriptors, and the core knows.
  var isShedding: Bool {
    get { record[.isShedding] }
    nonmutating set { record[.isShedding] = newValue }
  }

  /// Of a stream: why writing failed, while there may be bytes left to read.
  var writeError: Errno? {
    get { record.writeError == 0 ? nil : Errno(rawValue: record.writeError) }
    nonmutating set { record.writeError = newValue?.rawValue ?? 0 }
  }

  var isConnectedDatagram: Bool { role == .connectedDatagram }

  /// Its own address, if it is no stream; the IP is unspecified at a wildcard.
  var local: Address { bound.local }

  var isIPv6: Bool { bound.isIPv6 }

  var isWildcard: Bool { bound.isWildcard }

  /// The peer of a connected UDP socket.
  var remote: Address {
    get { bound.remote }
    nonmutating set { bound.remote = newValue }
  }

  /// Of a UDP socket: whether datagrams leave together.
  var trains: Trains {
    get { bound.trains }
    nonmutating set { bound.trains = newValue }
  }

  /// Of a UDP socket: what sending and receiving have to know, looked up at once.
  var facts: DatagramFacts {
    @inline(__always) get {
      let record = unsafe table.pointee.address(of: self)
      return unsafe table.pointee.bounds[record.pointee.bound].facts(
        record.pointee.fd, isConnected: record.pointee.role == .connectedDatagram)
    }
  }

  /// Of a UDP socket: what it had when it was ready.
  var arrivals: Arrivals {
    get { bound.arrivals }
    nonmutating _modify { yield &bound.arrivals }
  }

  /// What was polled from the core but not sent, oldest first; less than one batch.
  var held: [HeldDatagram] {
    get { bound.held }
    nonmutating _modify { yield &bound.held }
  }

  /// Whether there is something in `held`, or in `backlog`.
  var isHolding: Bool { !bound.held.isEmpty }
  var hasBacklog: Bool { !bound.backlog.isEmpty }

  /// What was received and waits for the next turn, oldest first; less than one batch.
  var backlog: [BacklogTrain] {
    get { bound.backlog }
    nonmutating _modify { yield &bound.backlog }
  }
}

/// What is known of a UDP socket.
struct DatagramFacts {
  var fd: Int32
  var isConnected: Bool
  var isIPv6: Bool
  var isWildcard: Bool
  var isHolding: Bool
  var hasBacklog: Bool
  var arrivals: Arrivals
  var local: Address
  var remote: Address
}

/// What only a UDP socket or a listener has.
private struct BoundSocket: ~Copyable {
  var local = Address.unspecified
  var isIPv6 = false
  var isWildcard = false
  var remote = Address.unspecified
  var trains = Trains()
  var held: [HeldDatagram] = []
  var backlog: [BacklogTrain] = []
  var arrivals = Arrivals()

  /// That of no socket.
  init() {}

  @inline(__always)
  func facts(_ fd: Int32, isConnected: Bool) -> DatagramFacts {
    DatagramFacts(
      fd: fd, isConnected: isConnected, isIPv6: isIPv6, isWildcard: isWildcard,
      isHolding: !held.isEmpty, hasBacklog: !backlog.isEmpty, arrivals: arrivals, local: local,
      remote: remote)
  }

  init(_ socket: borrowing OpenSocket) {
    local = socket.local
    isIPv6 = socket.isIPv6
    isWildcard = socket.isWildcard
  }
}

/// What the loop keeps of each socket. 16 bytes, for there is one for each TCP connection.
private struct SocketRecord: ~Copyable {
  struct Flags: OptionSet {
    let rawValue: UInt8

    static let isBlocked = Flags(rawValue: 1)
    static let isPaused = Flags(rawValue: 2)
    static let isUnpolled = Flags(rawValue: 4)
    static let hasReadEnd = Flags(rawValue: 8)
    static let hasFailed = Flags(rawValue: 16)
    static let isShedding = Flags(rawValue: 32)
    static let expectsLarge = Flags(rawValue: 64)
    static let isMiswatched = Flags(rawValue: 128)
  }

  /// Nil while it is closed.
  var descriptor: FileDescriptor?
  var role = LoopSocket.Role.stream
  var interest: UInt8 = 0
  var flags: Flags = []
  var generation: UInt32 = 0
  /// Of a stream: the number of the error, 0 for none. Of others: where its `BoundSocket` is.
  private var word: UInt32 = 0

  var fd: Int32 {
    switch descriptor {
    case .some(let descriptor): descriptor.rawValue
    case .none: -1
    }
  }

  subscript(flag: Flags) -> Bool {
    get { flags.contains(flag) }
    set { if newValue { flags.insert(flag) } else { flags.remove(flag) } }
  }

  /// Whether it is a stream, or is going to be one.
  private var isStream: Bool { role == .stream || role == .connecting }

  var writeError: Int32 {
    get { isStream ? Int32(bitPattern: word) : 0 }
    set { if isStream { word = UInt32(bitPattern: newValue) } }
  }

  /// Where its `BoundSocket` is; 0 of a stream.
  var bound: Int {
    get { isStream ? 0 : Int(word) }
    set { if !isStream { word = UInt32(truncatingIfNeeded: newValue) } }
  }

  /// Becomes that of another socket.
  mutating func open(_ descriptor: consuming FileDescriptor, _ role: LoopSocket.Role) {
    self.descriptor = consume descriptor
    self.role = role
    interest = 0
    flags = []
    word = 0
    generation &+= 1
  }
}

/// What the table of a loop's sockets holds.
private struct SocketStorage: ~Copyable {
  fileprivate var records = Pages<SocketRecord>()
  /// Stands for each socket that is gone: nothing but its descriptor, which it has not, is read
  /// before anything else is asked.
  fileprivate var gone = Pages<SocketRecord>()
  fileprivate var free: [UInt32] = []
  /// The first stands for those that are gone or have none.
  fileprivate var bounds = Pages<BoundSocket>()
  fileprivate var freeBounds: [Int] = []

  init() {
    gone.append(SocketRecord())
    bounds.append(BoundSocket())
  }

  mutating func add(_ socket: consuming OpenSocket, role: LoopSocket.Role) -> SocketID {
    let id = free.popLast() ?? UInt32(truncatingIfNeeded: records.count)
    let index = Int(id)
    if index == records.count { records.append(SocketRecord()) }
    let isStream = role == .stream || role == .connecting
    let bound = isStream ? 0 : place(BoundSocket(socket))
    records[index].open(socket.takeDescriptor(), role)
    records[index].bound = bound
    return SocketID(rawValue: id)
  }

  private mutating func place(_ bound: consuming BoundSocket) -> Int {
    guard let free = freeBounds.popLast() else {
      bounds.append(bound)
      return bounds.count - 1
    }
    bounds[free] = bound
    return free
  }

  /// Closes a socket and takes it out.
  mutating func remove(_ id: SocketID) {
    let index = Int(id.rawValue)
    guard index < records.count, records[index].fd >= 0 else { return }
    let bound = records[index].bound
    if bound > 0 {
      bounds[bound] = BoundSocket()
      freeBounds.append(bound)
    }
    records[index].descriptor = nil
    free.append(id.rawValue)
  }

  /// The ids in use, in order.
  var ids: [SocketID] {
    var ids: [SocketID] = []
    for index in records.indices where records[index].fd >= 0 {
      ids.append(SocketID(rawValue: UInt32(truncatingIfNeeded: index)))
    }
    return ids
  }

  @inline(__always)
  mutating func address(of socket: LoopSocket) -> UnsafeMutablePointer<SocketRecord> {
    let index = Int(socket.id.rawValue)
    guard records[index].generation == socket.generation, records[index].fd >= 0 else {
      return unsafe closedRecord()
    }
    return unsafe records.address(index)
  }

  /// Of a socket that is gone.
  @inline(never)
  private mutating func closedRecord() -> UnsafeMutablePointer<SocketRecord> {
    gone[0] = SocketRecord()
    return unsafe gone.address(0)
  }

  @inline(__always)
  mutating func addressOfBound(_ socket: LoopSocket) -> UnsafeMutablePointer<BoundSocket> {
    let bound = unsafe address(of: socket).pointee.bound
    return bound > 0 ? unsafe bounds.address(bound) : unsafe boundOfNone()
  }

  @inline(never)
  private mutating func boundOfNone() -> UnsafeMutablePointer<BoundSocket> {
    bounds[0] = BoundSocket()
    return unsafe bounds.address(0)
  }
}

/// The sockets of a loop by their ids, which are small and used again.
@safe final class SocketTable {
  private let storage: UnsafeMutablePointer<SocketStorage>

  init() {
    unsafe storage = .allocate(capacity: 1)
    unsafe storage.initialize(to: SocketStorage())
  }

  deinit {
    unsafe storage.deinitialize(count: 1)
    unsafe storage.deallocate()
  }

  subscript(id: SocketID) -> LoopSocket? {
    let index = Int(id.rawValue)
    guard unsafe index < storage.pointee.records.count,
      unsafe storage.pointee.records[index].fd >= 0
    else { return nil }
    return unsafe LoopSocket(storage, id, generation: storage.pointee.records[index].generation)
  }

  /// The socket of a poller's token; nil if it is gone, even if its id is in use again.
  subscript(token token: UInt64) -> LoopSocket? {
    guard let socket = self[SocketID(rawValue: UInt32(truncatingIfNeeded: token))],
      socket.token == token
    else { return nil }
    return socket
  }

  func add(_ socket: consuming OpenSocket, role: LoopSocket.Role) -> LoopSocket {
    let id = unsafe storage.pointee.add(socket, role: role)
    let generation = unsafe storage.pointee.records[Int(id.rawValue)].generation
    return unsafe LoopSocket(storage, id, generation: generation)
  }

  /// Closes a socket and takes it out.
  func remove(_ id: SocketID) { unsafe storage.pointee.remove(id) }

  /// The ids in use, in order.
  var ids: [SocketID] { unsafe storage.pointee.ids }
}
