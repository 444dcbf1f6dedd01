//! What goes wrong: the power, the process, the disk, the store; and what is mended again.

use super::Run;
use crate::dice::Dice;
use crate::disk::End;
use crate::oracle::Violation;

impl Run {
    pub(super) fn break_something(&mut self) {
        match self.dice.below(10) {
            0..5 => {
                let changes = u32::try_from(self.dice.below(24)).expect("it is small");
                self.disk.fail_power_in(changes);
            }
            5 => {
                let (after, count) = (self.dice.below(60), 1 + self.dice.below(4));
                let (after, count) = (u32::try_from(after), u32::try_from(count));
                self.disk.fail_reads(after.expect("it is small"), count.expect("it is small"));
            }
            6 => self.disk.fill(true),
            7 => {
                if let Some(doubtful) = &self.life().doubtful {
                    doubtful.lie(1);
                }
            }
            _ => {
                let (count, dice) = (1 + self.dice.below(3), Dice::new(self.dice.next()));
                self.disk.fail_syncs(u32::try_from(count).expect("it is small"), dice);
            }
        }
    }

    pub(super) fn mend(&mut self) -> Result<(), Violation> {
        self.disk.fill(false);
        let life = self.life();
        let recovered = life.stepper.is_broken() && life.stepper.recover();
        self.read_on()?;
        if recovered {
            self.summary.failures += 1;
            self.check_cuts()?;
        }
        Ok(())
    }

    pub(super) fn crash_or_stop(&mut self) -> Result<(), Violation> {
        match self.dice.below(10) {
            0..5 => self.crash(End::PowerCut),
            5..8 => self.crash(End::Killed),
            _ => self.stop(),
        }
    }

    /// The machine or the process is gone, whatever was going on.
    pub(super) fn crash(&mut self, end: End) -> Result<(), Violation> {
        match end {
            End::PowerCut => self.summary.power_cuts += 1,
            End::Killed => self.summary.kills += 1,
        }
        // What the process might still do reaches nothing.
        self.disk.switch_off();
        self.life = None;
        self.disk = self.disk.clone().after(end, &mut self.dice);
        self.restart()
    }

    /// Starts on what the disk kept. The power may fail again meanwhile, again and again.
    pub(super) fn restart(&mut self) -> Result<(), Violation> {
        loop {
            if self.dice.chance(20) {
                self.disk.fail_power_in(u32::try_from(self.dice.below(80)).expect("it is small"));
            }
            let started = self.start();
            if !self.disk.is_off() {
                return started;
            }
            self.summary.power_cuts += 1;
            self.life = None;
            self.disk = self.disk.clone().after(End::PowerCut, &mut self.dice);
        }
    }

    /// A stop in good order.
    pub(super) fn stop(&mut self) -> Result<(), Violation> {
        let engine = self.life().engine.clone();
        self.drive(async move { engine.stop().await });
        self.life().stepper.settle();
        self.read_on()?;
        self.observe()?;
        if self.disk.is_off() {
            return Ok(());
        }
        self.life = None;
        self.disk = self.disk.clone().after(End::Killed, &mut self.dice);
        self.restart()
    }
}
