"""The time, in the ways that services ask for it."""

import datetime as dt
import time

#: Seconds since 1970; tests put another source in its place.
present = time.time

_LETTERS = (('YYYY', '%Y'), ('MM', '%m'), ('DD', '%d'), ('HH', '%H'), ('mm', '%M'), ('ss', '%S'), ('YY', '%y'))


def pattern(text):
    """A strftime pattern from one such as YYYY-MM-DD HH:mm:ss; patterns with % are left alone."""
    if '%' not in text:
        for letters, code in _LETTERS:
            text = text.replace(letters, code)
    return text


class Time:
    """`self.time`."""

    def utcnow(self, format='YYYY-MM-DDTHH:mm:ss', needs_format=True):
        """The time in UTC, as text or, without format, as a datetime."""
        return self._shown(dt.datetime.fromtimestamp(present(), dt.timezone.utc).replace(tzinfo=None), format, needs_format)

    def now(self, format='YYYY-MM-DDTHH:mm:ss', tz=None, needs_format=True, delta=None):
        """The local time, or that of a zone such as Europe/London."""
        zone = {'local': None, 'UTC': dt.timezone.utc}.get(tz, tz) if isinstance(tz, str) else tz
        if isinstance(zone, str):
            from zoneinfo import ZoneInfo
            zone = ZoneInfo(zone)
        moment = dt.datetime.fromtimestamp(present(), zone)
        return self._shown(moment + delta if delta else moment, format, needs_format)

    def _shown(self, moment, format, needs_format):
        return moment.strftime(pattern(format)) if needs_format and format else moment

    def _day(self, days, format, tz, needs_format):
        return self.now(format, tz, needs_format, dt.timedelta(days=days))

    def today(self, format='YYYY-MM-DD', tz=None, needs_format=True):
        """The day."""
        return self._day(0, format, tz, needs_format)

    def yesterday(self, format='YYYY-MM-DD', tz=None, needs_format=True):
        """The day before."""
        return self._day(-1, format, tz, needs_format)

    def tomorrow(self, format='YYYY-MM-DD', tz=None, needs_format=True):
        """The day after."""
        return self._day(1, format, tz, needs_format)

    def isonow(self, tz=None):
        """The local time, ISO 8601."""
        return self.now(None, tz).isoformat()

    def isoutcnow(self):
        """The time in UTC, ISO 8601, without an offset."""
        return self.utcnow(None).isoformat()

    def reformat(self, value, from_, to):
        """A time written another way."""
        return dt.datetime.strptime(value, pattern(from_)).strftime(pattern(to))

    def timestamp(self):
        """Seconds since 1970."""
        return present()
