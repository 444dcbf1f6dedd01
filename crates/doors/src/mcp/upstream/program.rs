//! A server that is a program: messages are lines on its standard input and output.
//!
//! It starts in a process group of its own with an environment that is told in full, under the account and limits of its
//! description, and ends with its session: first its input, then, after a moment, the whole group.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use countersign_wire::mcp::MESSAGE_BYTES_MAX;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex, mpsc};

use super::super::Program;
use super::{Incoming, NoServer, NotSent, SEND_S_MAX};

/// How long a program may take to end by itself once its input has, in milliseconds.
const LEAVE_MS_MAX: u64 = 300;
/// How much of what a program complains about is looked at, in bytes.
const COMPLAINT_BYTES_MAX: u64 = 64 * 1024;
/// How many files a program may have open.
const FILES_MAX: &str = "1024";
/// Where programs are found.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Sets limits, in the units of POSIX `ulimit`, and becomes the program.
const LIMITED: &str = "ulimit -c 0; ulimit -n \"$1\"; [ -z \"$2\" ] || ulimit -v \"$2\"; \
                       [ -z \"$3\" ] || ulimit -t \"$3\"; shift 3; exec \"$@\"";

/// A program that runs.
pub(crate) struct Running {
    input: Mutex<Option<ChildStdin>>,
    child: Mutex<Child>,
    group: Option<Pid>,
}

impl Running {
    pub(super) fn start(
        name: &str,
        program: &Program,
        into: mpsc::Sender<Incoming>,
    ) -> Result<Self, NoServer> {
        if program.command.is_empty() {
            return Err(NoServer::NoCommand);
        }
        let failed = |source| NoServer::Start { name: name.to_owned(), source };
        let mut child = command(program).spawn().map_err(failed)?;
        let missing = || failed(std::io::Error::other("it has no input or output"));
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        if let Some(complaints) = child.stderr.take() {
            tokio::spawn(complain(Arc::from(name), complaints));
        }
        tokio::spawn(read(output, into));
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Self { input: Mutex::new(Some(input)), child: Mutex::new(child), group })
    }

    pub(super) async fn send(&self, bytes: &[u8]) -> Result<(), NotSent> {
        let mut input = self.input.lock().await;
        let Some(to) = input.as_mut() else { return Err(NotSent::Gone) };
        let mut line = Vec::with_capacity(bytes.len() + 1);
        line.extend_from_slice(bytes);
        line.push(b'\n');
        let sent = async {
            to.write_all(&line).await?;
            to.flush().await
        };
        match tokio::time::timeout(Duration::from_secs(SEND_S_MAX), sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(NotSent::Gone),
            Err(_) => {
                // Half a line is there: whatever came next would be taken for its end.
                *input = None;
                Err(NotSent::Slow)
            }
        }
    }

    pub(super) async fn close(&self) {
        *self.input.lock().await = None;
        let mut child = self.child.lock().await;
        let left = tokio::time::timeout(Duration::from_millis(LEAVE_MS_MAX), child.wait()).await;
        // Those that it started may have stayed behind.
        self.kill();
        if left.is_err() {
            let _gone = child.wait().await;
        }
    }

    fn kill(&self) {
        if let Some(group) = self.group {
            // The group is gone when all in it are.
            let _gone = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(program: &Program) -> Command {
    let mut command = Command::new("/bin/sh");
    let memory = program.memory_mib_max.map(|mib| (u64::from(mib) * 1024).to_string());
    let time = program.cpu_s_max.map(|seconds| seconds.to_string());
    command.args(["-c", LIMITED, "sh", FILES_MAX]);
    command.args([memory.unwrap_or_default(), time.unwrap_or_default()]);
    command.args(&program.command).env_clear().env("PATH", PATH).envs(&program.environment);
    command.current_dir(program.folder.as_deref().unwrap_or(std::path::Path::new("/")));
    if let Some((user, group)) = program.runs_as {
        command.uid(user).gid(group);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    command
}

/// Passes on each line, until there is none, or one without end.
async fn read(output: impl AsyncRead + Unpin, into: mpsc::Sender<Incoming>) {
    let limit = u64::try_from(MESSAGE_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    let mut output = BufReader::new(output);
    let why = loop {
        let mut line = Vec::new();
        match (&mut output).take(limit).read_until(b'\n', &mut line).await {
            Ok(0) => break "the program has ended".to_owned(),
            Ok(_) if line.last() != Some(&b'\n') && line.len() > MESSAGE_BYTES_MAX => {
                break format!("the program sent a line of more than {MESSAGE_BYTES_MAX} bytes");
            }
            Ok(_) if line.trim_ascii().is_empty() => {}
            Ok(_) => {
                if into.send(Incoming::Message(line, None)).await.is_err() {
                    return;
                }
            }
            Err(error) => break format!("the program's output can't be read: {error}"),
        }
    };
    let _nobody_listens = into.send(Incoming::Gone(why)).await;
}

/// What the program complains about is for whoever runs the gateway, within limits; the rest is read and forgotten, so
/// that it does not wait.
async fn complain(name: Arc<str>, complaints: impl AsyncRead + Unpin) {
    let mut complaints = BufReader::new(complaints);
    let mut shown = 0;
    loop {
        let mut line = Vec::new();
        match (&mut complaints).take(COMPLAINT_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(1..) if shown < COMPLAINT_BYTES_MAX => {
                shown += u64::try_from(line.len()).unwrap_or(COMPLAINT_BYTES_MAX);
                let line = String::from_utf8_lossy(line.trim_ascii());
                tracing::debug!(program = %name, line = ?line, "a program says");
            }
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(command: &[&str]) -> Program {
        Program { command: command.iter().map(|word| (*word).to_owned()).collect(), ..Program::default() }
    }

    async fn next(from: &mut mpsc::Receiver<Incoming>) -> String {
        let soon = tokio::time::timeout(Duration::from_secs(10), from.recv());
        match soon.await.unwrap().unwrap() {
            Incoming::Message(bytes, None) => String::from_utf8(bytes).unwrap().trim().to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn lines_go_in_and_come_out_and_the_end_is_told() {
        let (into, mut from) = mpsc::channel(4);
        let running = Running::start("cat", &program(&["cat"]), into).unwrap();
        running.send(b"{\"a\":1}").await.unwrap();
        assert_eq!(next(&mut from).await, "{\"a\":1}");
        running.close().await;
        assert_eq!(next(&mut from).await, "Gone(\"the program has ended\")");
        assert!(matches!(running.send(b"x").await, Err(NotSent::Gone)));
    }

    #[tokio::test]
    async fn a_program_has_its_own_environment_and_limits() {
        let (into, mut from) = mpsc::channel(4);
        let mut described =
            program(&["sh", "-c", "env | sort | tr '\\n' ' '; pwd; ulimit -v; ulimit -c; ulimit -n"]);
        described.environment.insert("ONLY".into(), "this".into());
        described.memory_mib_max = Some(512);
        let _running = Running::start("env", &described, into).unwrap();
        assert_eq!(next(&mut from).await, format!("ONLY=this PATH={PATH} PWD=/ /"));
        assert_eq!(next(&mut from).await, "524288");
        assert_eq!(next(&mut from).await, "0");
        assert_eq!(next(&mut from).await, "1024");
    }

    #[tokio::test]
    async fn what_a_program_leaves_behind_ends_with_it() {
        let (into, mut from) = mpsc::channel(4);
        let left = "trap '' TERM; sleep 1000 & echo $!; exec sleep 1000";
        let running = Running::start("left", &program(&["sh", "-c", left]), into).unwrap();
        let pid: i32 = next(&mut from).await.parse().unwrap();
        running.close().await;
        let mut gone = false;
        for _ in 0..200 {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            gone = state.is_empty() || state.contains(") Z ");
            if gone {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(gone, "{pid} is still there");
    }

    #[tokio::test]
    async fn a_line_without_end_is_given_up() {
        let (into, mut from) = mpsc::channel(4);
        let _running = Running::start("zero", &program(&["cat", "/dev/zero"]), into).unwrap();
        let told = next(&mut from).await;
        assert!(told.contains("a line of more than"), "{told}");
    }
}
