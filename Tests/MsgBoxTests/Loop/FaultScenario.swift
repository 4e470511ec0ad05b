import CMsgBox
import Glibc
import MsgBox
import Testing

/// A system call that fails: which, as what, at its how many-th time, and whether from then on.
struct FaultCase: CustomStringConvertible {
  var call: FaultCall
  var error: Int32
  var after: UInt32
  var times: UInt32

  var description: String {
    "\(call.name) with error \(error) at call \(after + 1)\(times > 1 ? " and after" : "")"
  }
}

/// A kind of system call, and what it can fail with: an errno, or a code of getaddrinfo.
struct FaultCall {
  var name: String
  var number: Int32
  var errors: [Int32]

  static let all: [FaultCall] = [
    FaultCall(
      "socket", CMSGBOX_CALL_SOCKET,
      [EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EPERM, EAFNOSUPPORT]),
    FaultCall("bind", CMSGBOX_CALL_BIND, [EADDRINUSE, EADDRNOTAVAIL, EACCES, ENOMEM, EINVAL]),
    FaultCall(
      "connect", CMSGBOX_CALL_CONNECT,
      [
        ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, EADDRNOTAVAIL, EAGAIN, EPERM, EACCES,
        EINTR,
      ]),
    FaultCall(
      "accept", CMSGBOX_CALL_ACCEPT,
      [
        EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPROTO, ENETDOWN,
        EHOSTUNREACH, EINTR,
      ]),
    FaultCall(
      "recv", CMSGBOX_CALL_RECEIVE,
      [EAGAIN, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOBUFS, ENOMEM, EINTR]),
    FaultCall(
      "send", CMSGBOX_CALL_SEND,
      [
        EAGAIN, ECONNRESET, EPIPE, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENOBUFS, ENOMEM, EINTR,
      ]),
    FaultCall(
      "recvmmsg", CMSGBOX_CALL_RECEIVE_BATCH,
      [
        EAGAIN, ECONNREFUSED, EHOSTUNREACH, EHOSTDOWN, ENETUNREACH, ENETDOWN, EPROTO, ENOBUFS,
        ENOMEM, EINTR,
      ]),
    FaultCall(
      "sendmmsg", CMSGBOX_CALL_SEND_BATCH,
      [
        EAGAIN, ENOBUFS, ENOMEM, EMSGSIZE, EPERM, EINVAL, EIO, ECONNREFUSED, EHOSTUNREACH,
        ENETUNREACH, ENETDOWN, EHOSTDOWN, EPROTO, EINTR,
      ]),
    FaultCall("epoll_wait", CMSGBOX_CALL_POLL, [EINTR, ENOMEM]),
    FaultCall("epoll_create and eventfd", CMSGBOX_CALL_OPEN, [EMFILE, ENFILE, ENOMEM, ENODEV]),
    FaultCall("pthread_create", CMSGBOX_CALL_THREAD, [EAGAIN, EPERM]),
    FaultCall(
      "getaddrinfo", CMSGBOX_CALL_RESOLVE,
      [EAI_AGAIN, EAI_NONAME, EAI_FAIL, EAI_MEMORY, EAI_SYSTEM]),
    FaultCall("setsockopt for trains", CMSGBOX_CALL_OFFLOAD, [ENOPROTOOPT, EINVAL]),
    FaultCall("setsockopt", CMSGBOX_CALL_OPTION, [EINVAL, ENOPROTOOPT, ENOBUFS, ENOMEM, EPERM]),
    FaultCall("listen", CMSGBOX_CALL_LISTEN, [EADDRINUSE]),
    FaultCall("getsockname", CMSGBOX_CALL_NAME, [ENOBUFS]),
    FaultCall("getsockopt", CMSGBOX_CALL_QUERY, [EINVAL, ENOPROTOOPT, ENOBUFS]),
    FaultCall("shutdown", CMSGBOX_CALL_SHUTDOWN, [ENOTCONN]),
    FaultCall("epoll_ctl to add", CMSGBOX_CALL_WATCH, [ENOMEM, ENOSPC]),
    // Of what the manual lists, the others are mistakes of the caller.
    FaultCall("epoll_ctl to change", CMSGBOX_CALL_REWATCH, [ENOMEM]),
    FaultCall("epoll_ctl to remove", CMSGBOX_CALL_UNWATCH, [ENOMEM]),
    FaultCall("read and write of an eventfd", CMSGBOX_CALL_EVENT, [EAGAIN, EINTR]),
    FaultCall("dup", CMSGBOX_CALL_DUPLICATE, [EMFILE]),
    FaultCall("malloc and mmap", CMSGBOX_CALL_MEMORY, [ENOMEM]),
  ]

  init(_ name: String, _ number: some BinaryInteger, _ errors: [Int32]) {
    self.name = name
    self.number = Int32(number)
    self.errors = errors
  }
}

/// A server and a client on loopback that open, talk in every way and end, in one thread.
struct FaultScenario: CustomTestStringConvertible, Sendable {
  var transport: Transport
  var sharesPort = false
  /// Connects to a name and not to an address.
  var usesName = false

  static let all = [
    FaultScenario(transport: .udp), FaultScenario(transport: .tcp),
    FaultScenario(transport: .udp, sharesPort: true),
    FaultScenario(transport: .tcp, usesName: true),
  ]

  var testDescription: String {
    "\(transport)\(sharesPort ? ", a shared port" : "")\(usesName ? ", by name" : "")"
  }

  private var options: ConnectionOptions {
    var options = ConnectionOptions()
    options.connectTimeout = .milliseconds(60)
    options.getTimeout = .milliseconds(60)
    options.closeTimeout = .milliseconds(60)
    options.heartbeat = .milliseconds(20)
    options.suspect = .milliseconds(40)
    options.lost = .milliseconds(1040)
    options.socketBufferBytes = 100_000
    options.sharePort = sharesPort
    return options
  }

  /// Runs it once; what broke.
  func run() -> [String] {
    guard let server = FaultBox(1), let client = FaultBox(2) else { return [] }
    server.react = { box, event in
      if event.kind == .message { box.send(event.bytes, to: event.handle) }
      if event.kind == .request { box.answer(event.bytes, to: event.request) }
    }
    let boxes = [server, client]
    let listener = server.listen(
      Locator(transport: transport, host: loopback, port: 0), options)
    turn(boxes, atMost: 200) { server.isDecided(listener) }
    let waker = server.loop.makeWaker()
    if let port = server.loop.endpoint.localPort(of: listener) {
      let host = usesName ? Locator.Host.name(Array("localhost".utf8)) : loopback
      talk(boxes, client, Locator(transport: transport, host: host, port: port))
    }
    waker?.wake()
    for box in boxes { for handle in box.guarantees.handlesAlive { box.end(handle) } }
    turn(boxes, atMost: 3000) { boxes.allSatisfy { $0.guarantees.handlesAlive.isEmpty } }
    return finish(boxes)
  }

  private func talk(_ boxes: [FaultBox], _ client: FaultBox, _ locator: Locator) {
    let connection = client.connect(locator, options)
    client.send([1], to: connection)
    turn(boxes, atMost: 500) { client.isDecided(connection) }
    guard client.isOpen(connection) else { return }
    client.send([2, 2], to: connection)
    client.send([UInt8](repeating: 3, count: 40_000), to: connection, isReliable: true)
    client.ask([4], from: connection)
    client.ask([UInt8](repeating: 5, count: 5000), from: connection)
    turn(boxes, atMost: 100) {
      !client.guarantees.isAlive(connection)
        || client.guarantees.outcomesMissing == 0 && client.log.count(.message) == 3
          && client.log.count(.reply) + client.log.count(.replyMissing) == 2
    }
  }

  private func finish(_ boxes: [FaultBox]) -> [String] {
    var broken = boxes.flatMap(\.broken.texts)
    for box in boxes {
      let alive = box.guarantees.handlesAlive.count
      if alive > 0 { broken.append("\(alive) handles have no end: \(box.log.string())") }
      if box.guarantees.outcomesMissing > 0 { broken.append("outcomes are missing") }
      box.shutDown()
      box.react = { _, _ in }
      let census = box.loop.endpoint.census
      if !census.isEmpty { broken.append("\(census) is left") }
    }
    return broken
  }

  /// Turns both until `isDone`, or that many milliseconds.
  private func turn(_ boxes: [FaultBox], atMost limit: UInt64, until isDone: () -> Bool) {
    let end = SystemClock.now + .milliseconds(limit)
    var turns = 0
    while !isDone(), SystemClock.now < end {
      // Both are busy at first, then timers are waited for.
      for box in boxes { box.turn(turns < 40 ? 0 : 1) }
      turns += 1
    }
  }
}
